"""Appointments, contacts and tasks, both ways.

A visit first notices and then settles. What changed on either side is noticed page by page: its
link becomes due in the transaction that moves the cursor. A due link is settled by comparing both
sides with what they said when they last agreed; that may be done any number of times, so a crash
between any two writes costs a repetition and nothing else.
"""
