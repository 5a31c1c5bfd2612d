"""The questions of recall as SQL for a PostgreSQL server with pgvector: which auctions may be among the nearest.

Each is asked in one of four ways. By a *walk* through the index the server goes over the texts in the order of their
similarity, by approximation, and takes of each what passes the filter until it has enough; it gives up after
`hnsw.max_scan_tuples`. A *shared* walk goes once over so many texts for several agents, who mostly find enough there.
*Exactly* it collects everything that passes the filter and sorts it; that is for filters few rows pass. *Near* it sorts
all texts of some tenants, and takes of each, the most similar first, what passes the rest of the filter: that is exact,
too, and for tenants with some thousand auctions in a memory that has many more of others. Vectors are of
half precision here, so a few more are asked for than are wanted, and whoever asks ranks them again by full vectors.
"""

from __future__ import annotations

from typing import Final, Literal

from sqlalchemy import ARRAY, Text, TextClause, bindparam, text

Way = Literal["exact", "near", "shared", "walk"]

_PLANNING: Final = ("enable_seqscan", "enable_sort", "enable_hashjoin", "enable_mergejoin")
"""Without these the server may, by its statistics of a table that is filling, prefer to read and sort all of it."""
SETTINGS: Final = (
    "SELECT set_config('hnsw.iterative_scan', 'strict_order', true), set_config('hnsw.ef_search', :breadth, true), "
    + (", ".join(f"set_config('{name}', 'off', true)" for name in _PLANNING))
)
SET: Final = text(SETTINGS)
"""For the rest of a transaction, before it asks through the index; for the parameter `breadth`."""
SET_NEAR: Final = text(
    "SELECT " + ", ".join(f"set_config('{name}', 'off', true)" for name in _PLANNING if name != "enable_sort")
)
"""Before it asks for the nearest of some tenants: else it may read all texts that there are."""
RESET: Final = text("SELECT set_config(name, reset_val, true) FROM pg_settings WHERE name = ANY(:names)").bindparams(
    bindparam("names", list(_PLANNING), type_=ARRAY(Text))
)
"""Before it asks exactly after all."""

_LATEST: Final = "(SELECT o.verdict FROM outcomes o WHERE o.auction = a.key {of} ORDER BY o.position DESC LIMIT 1)"
_VERDICT: Final = (
    "CASE WHEN (SELECT true FROM executions e WHERE e.auction = a.key AND e.position = 0) "  # noqa: S608
    f"THEN {_LATEST.format(of='AND o.execution = 0')} ELSE {_LATEST.format(of='')} END"
)
_TENANT: Final = "AND a.tenant = ANY(:tenants)"
_EXAMPLE: Final = f"""
  AND a.status IN ('awarded', 'settled') AND a.withheld IS NOT TRUE
  AND (SELECT count(*) FROM strategies s WHERE s.auction = a.key AND s.text <> '') > 1
  AND {_VERDICT} {{verdict}}
"""  # noqa: S608
"""`IndexedAuction.is_example` and, as asked for, only successes."""
_BID: Final = "AND EXISTS (SELECT 1 FROM strategies s WHERE s.auction = a.key AND s.agent = who.agent AND s.text <> '')"
_JUDGED: Final = """
  AND (SELECT o.verdict FROM outcomes o WHERE o.auction = e.auction AND o.execution = e.position
       ORDER BY o.position DESC LIMIT 1) IN ('success', 'failure')
"""
_WHO: Final = "unnest(:agents) AS who(agent)"
_AUCTION: Final = "tasks t JOIN auctions a ON a.task = t.key"
_OF_TEXT: Final = f"(SELECT a.* FROM {_AUCTION} WHERE t.text_digest = v.digest OFFSET 0) a"  # noqa: S608
"""The auctions of one text. `OFFSET 0` has them found first: else the server may look for the newest first, by time."""
_DONE: Final = "JOIN executions e ON e.auction = a.key"
_NEWEST: Final = "a.started_at DESC, a.key DESC"

MANY_OF_AGENT: Final = text(
    "SELECT who.agent, (SELECT count(*) FROM (SELECT 1 FROM strategies s WHERE s.agent = who.agent LIMIT :few) f) "  # noqa: S608
    f"FROM {_WHO}"
).bindparams(bindparam("agents", type_=ARRAY(Text)))
MANY_WORKS: Final = text(
    "SELECT who.agent, (SELECT count(*) FROM (SELECT 1 FROM executions e WHERE e.agent = who.agent LIMIT :few) f) "  # noqa: S608
    "+ (SELECT count(*) FROM (SELECT 1 FROM evidence k WHERE k.agent = who.agent LIMIT :few) f) "
    f"FROM {_WHO}"
).bindparams(bindparam("agents", type_=ARRAY(Text)))
MANY_OF_TENANTS: Final = text(
    "SELECT count(*) FROM (SELECT 1 FROM auctions a WHERE a.tenant = ANY(:tenants) LIMIT :few) f"
).bindparams(bindparam("tenants", type_=ARRAY(Text)))
ENDS: Final = text("SELECT min(a.tenant), max(a.tenant) FROM auctions a")
MANY: Final = text("SELECT count(*) FROM (SELECT 1 FROM auctions LIMIT :few) f")


def examples(table: str, *, way: Way, tenants: bool, require_success: bool) -> TextClause:
    """For each agent the auctions to learn from, the most recent of each text: `RecallIndex.examples`.

    Args:
        table: Of the vectors.
        way: How to ask.
        tenants: Whether only some tenants' are asked for.
        require_success: Only auctions whose work was a success.

    Returns:
        Rows of (agent, auction), for the
        parameters agents, vector, wanted, texts in a shared walk, and tenants.
    """
    narrow = _EXAMPLE.format(verdict="= 'success'" if require_success else "IS DISTINCT FROM 'failure'")
    if way == "shared":
        of_all = (
            "SELECT DISTINCT ON (v.digest, s.agent) s.agent, a.key, v.distance "  # noqa: S608
            f"FROM near v CROSS JOIN LATERAL {_OF_TEXT} "
            "JOIN strategies s ON s.auction = a.key AND s.agent = ANY(:agents) AND s.text <> '' "
            f"WHERE true {_TENANT if tenants else ''} {narrow} ORDER BY v.digest, s.agent, {_NEWEST}"
        )
        return _bound(_shared(table, of_all), tenants=tenants)
    return _bound(_one_a_text(table, f"{_BID} {narrow}", way=way, tenants=tenants), tenants=tenants)


def similar(table: str, *, way: Way, tenants: bool) -> TextClause:
    """The same among all auctions whatever became of them, for the one agent ''."""
    return _bound(_one_a_text(table, "", way=way, tenants=tenants), tenants=tenants)


def _one_a_text(table: str, narrow: str, *, way: Way, tenants: bool) -> str:
    own = _TENANT if tenants else ""
    if way == "exact":
        found = (
            f"SELECT DISTINCT ON (t.text_digest) t.text_digest AS digest, a.key FROM {_AUCTION} "  # noqa: S608
            f"WHERE true {own} {narrow} ORDER BY t.text_digest, {_NEWEST}"
        )
        return _sorted(table, found)
    newest = f"SELECT a.key FROM {_OF_TEXT} WHERE true {own} {narrow} ORDER BY {_NEWEST} LIMIT 1"  # noqa: S608
    return _of_tenants(table, newest) if way == "near" else _walked(table, newest)


def works(table: str, *, way: Way, tenants: bool) -> TextClause:
    """For each agent the auctions with its executions that count in its track record: `TrackIndex.records`.

    Returns:
        Rows of (agent, key of an auction or of evidence), one for each execution or line of evidence, for the
        parameters agents, vector, wanted, texts in a shared walk, and tenants.
    """
    own, kept = (_TENANT, "AND k.tenant = ANY(:tenants)") if tenants else ("", "")
    line, judged = "a.key, a.started_at AS at, e.position AS place", f"{own} {_JUDGED}"
    kept_line, of_task = "k.key, k.last_at, 0", f"tasks t JOIN evidence k ON k.task = t.key {kept}"
    if way == "shared":
        both = (
            f"SELECT v.digest, v.distance, e.agent, {line} FROM near v CROSS JOIN LATERAL {_OF_TEXT} "  # noqa: S608
            f"{_DONE} AND e.agent = ANY(:agents) WHERE true {judged} "
            f"UNION ALL SELECT v.digest, v.distance, k.agent, {kept_line} FROM near v "
            f"JOIN ({of_task}) ON t.text_digest = v.digest WHERE k.agent = ANY(:agents)"
        )
        numbered = (
            "SELECT w.*, row_number() OVER (PARTITION BY w.digest, w.agent "  # noqa: S608
            f"ORDER BY w.at DESC, w.key DESC, w.place DESC) AS number FROM ({both}) w"
        )
        return _bound(_shared(table, f"SELECT * FROM ({numbered}) n WHERE n.number <= :wanted"), tenants=tenants)  # noqa: S608
    mine = "AND e.agent = who.agent"
    if way == "exact":
        found = (
            f"SELECT t.text_digest AS digest, {line} FROM {_AUCTION} {_DONE} {mine} WHERE true {judged} "  # noqa: S608
            f"UNION ALL SELECT t.text_digest, {kept_line} FROM {of_task} WHERE k.agent = who.agent"
        )
        return _bound(_sorted(table, found), tenants=tenants)
    newest = (
        f"SELECT w.key FROM (SELECT {line} FROM {_OF_TEXT} {_DONE} {mine} WHERE true {judged} "  # noqa: S608
        f"UNION ALL SELECT {kept_line} FROM {of_task} WHERE t.text_digest = v.digest AND k.agent = who.agent) w "
        "ORDER BY w.at DESC, w.key DESC, w.place DESC LIMIT :wanted"
    )
    if way == "near":
        kept_texts = f" UNION SELECT t.text_digest FROM {of_task}"  # noqa: S608
        return _bound(_of_tenants(table, newest, and_of=kept_texts), tenants=tenants)
    return _bound(_walked(table, newest), tenants=tenants)


def _sorted(table: str, found: str) -> str:
    """All that is found, by similarity."""
    return (
        f"SELECT who.agent, near.key FROM {_WHO} CROSS JOIN LATERAL ("  # noqa: S608
        f"SELECT found.key FROM ({found}) found JOIN {table} v ON v.digest = found.digest "
        "ORDER BY (v.vector <#> CAST(:vector AS halfvec)) + 0.0, found.key DESC LIMIT :wanted) near"
    )


_DISTANCE: Final = "v.vector <#> CAST(:vector AS halfvec)"


def _walked(table: str, of_each: str) -> str:
    """Whatever there is of each text, the most similar text first, through the index; for each agent anew."""
    return (
        f"SELECT who.agent, found.key FROM {_WHO} CROSS JOIN LATERAL ("  # noqa: S608
        f"SELECT one.key FROM {table} v CROSS JOIN LATERAL ({of_each}) one ORDER BY {_DISTANCE} LIMIT :wanted) found"
    )


def _of_tenants(table: str, of_each: str, *, and_of: str = "") -> str:
    """Whatever there is of each text of the tenants asked for, the most similar first; no index of vectors is asked."""
    own = f"SELECT t.text_digest FROM {_AUCTION} WHERE a.tenant = ANY(:tenants){and_of}"  # noqa: S608
    near = (
        f"SELECT v.digest, ({_DISTANCE}) + 0.0 AS distance FROM (SELECT DISTINCT o.text_digest FROM ({own}) o) d "  # noqa: S608
        f"JOIN {table} v ON v.digest = d.text_digest ORDER BY distance"
    )
    return (
        f"WITH near AS MATERIALIZED ({near}) SELECT who.agent, found.key FROM {_WHO} CROSS JOIN LATERAL ("  # noqa: S608
        f"SELECT one.key FROM (SELECT * FROM near ORDER BY distance) v CROSS JOIN LATERAL ({of_each}) one "
        "ORDER BY v.distance LIMIT :wanted) found"
    )


def _shared(table: str, of_all: str) -> str:
    """Whatever there is of the nearest texts, the most similar text first."""
    near = f"SELECT v.digest, {_DISTANCE} AS distance FROM {table} v ORDER BY {_DISTANCE} LIMIT :texts"  # noqa: S608
    return f"WITH near AS MATERIALIZED ({near}) SELECT f.agent, f.key FROM ({of_all}) f ORDER BY f.distance"  # noqa: S608


def _bound(statement: str, *, tenants: bool) -> TextClause:
    given = [bindparam("agents", type_=ARRAY(Text))]
    given += [bindparam("tenants", type_=ARRAY(Text))] if tenants else []
    return text(statement).bindparams(*given)
