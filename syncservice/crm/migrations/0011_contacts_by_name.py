"""Contacts are found by their name, however it is spelled: in capitals, without accents."""

from django.db import migrations, models

import syncservice.crm.models.people

# What it makes of a name never changes: an index is built on it. Accents come off first, so that
# `lower` has only plain letters to do with, whatever the database's language is.
_FOLDED = r"""
CREATE FUNCTION crm_folded_name(first text, middle text, last text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
  SELECT btrim(lower(regexp_replace(
    regexp_replace(normalize(first || ' ' || middle || ' ' || last, NFKD), '[\u0300-\u036f]+', '', 'g'),
    '\s+', ' ', 'g')))
$$;
"""


class Migration(migrations.Migration):
    dependencies = [
        ("crm", "0010_default_queue"),
    ]

    operations = [
        migrations.RunSQL(_FOLDED, reverse_sql="DROP FUNCTION crm_folded_name(text, text, text)"),
        migrations.AddIndex(
            model_name="contact",
            index=models.Index(
                syncservice.crm.models.people.FoldedName("first_name", "middle_name", "last_name"),
                name="contacts_by_name",
            ),
        ),
    ]
