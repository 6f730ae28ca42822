"""What can go wrong in the lake, named for the condition.

`Terminal`: the same run fails again until a person acts; Airflow fails the task at once.
`Transient`: trying again may help; Airflow retries.
Every message names the table and day, what was expected and found, whether anything was
published, and the next thing to do.
"""


class LakeError(Exception):
    """Base of all errors that the runtime raises on purpose."""


class Terminal(LakeError):
    """A person has to act; a retry fails the same way."""


class Transient(LakeError):
    """A retry may succeed."""


class ContractError(Terminal):
    """A contract YAML is missing, unreadable or says something that cannot hold."""


class NoTable(Terminal):
    """No contract, or no function, has this name."""


class SchemaMismatch(Terminal):
    """A table function returned other columns than its contract has."""


class AuditFailed(Terminal):
    """A staged day broke a check of its contract; nothing was published."""


class RowsVanished(Terminal):
    """Rows in do not equal rows out plus rows quarantined plus rows folded."""


class BadDrop(Terminal):
    """A drop cannot be read, or has more bad rows than allowed; nothing was published."""


class MappingError(Terminal):
    """A source's mapping YAML is wrong."""


class UpstreamMissing(Terminal):
    """A declared read has no published partition for the day."""


class VersionGone(Terminal):
    """An earlier version of a table, which a rerun has to read, is no longer there."""


class PublishConflict(Transient):
    """Another writer changed the same files; the staged rows were not published."""
