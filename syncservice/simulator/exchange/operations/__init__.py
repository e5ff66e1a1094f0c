"""The operations of the service, one module for each group.

An operation takes the `Context` of a request and returns the XML of its response. It raises
`EwsError` only inside `Context.each`, which makes it a response message; anything that concerns the
whole request is a `SoapFault`.
"""
