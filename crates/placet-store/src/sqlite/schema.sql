-- The log. Entries are what is hashed; views and personal fields stand beside them and can be erased.
CREATE TABLE entry (
  seq  INTEGER PRIMARY KEY,
  leaf TEXT NOT NULL,
  hash BLOB NOT NULL
) STRICT;
CREATE TABLE "view" (
  seq  INTEGER PRIMARY KEY,
  body TEXT NOT NULL
) STRICT;
CREATE TABLE personal (
  seq   INTEGER NOT NULL,
  field TEXT NOT NULL,
  salt  BLOB NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (seq, field)
) STRICT, WITHOUT ROWID;
CREATE TABLE checkpoint (
  size INTEGER PRIMARY KEY,
  note TEXT NOT NULL
) STRICT;
CREATE TABLE head (
  one      INTEGER PRIMARY KEY CHECK (one = 1),
  origin   TEXT NOT NULL,
  size     INTEGER NOT NULL,
  frontier BLOB NOT NULL,
  chain    BLOB NOT NULL,
  time_us  INTEGER NOT NULL,
  seal     BLOB NOT NULL
) STRICT;
-- A cache of what the log adds up to. A row that differs from the log is noticed, and nothing that needs it runs.
CREATE TABLE state (
  kind TEXT NOT NULL,
  id   TEXT NOT NULL,
  body TEXT NOT NULL,
  seq  INTEGER NOT NULL,
  PRIMARY KEY (kind, id)
) STRICT, WITHOUT ROWID;
CREATE TABLE outbox (
  id    INTEGER PRIMARY KEY,
  seq   INTEGER NOT NULL,
  topic TEXT NOT NULL,
  body  TEXT NOT NULL,
  sent  INTEGER NOT NULL DEFAULT 0
) STRICT;

-- A courtesy to whoever has a shell open. Nothing relies on it: tampering shows in the tree.
CREATE TRIGGER entry_update BEFORE UPDATE ON entry
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only: UPDATE is not permitted'); END;
CREATE TRIGGER entry_delete BEFORE DELETE ON entry
BEGIN SELECT RAISE(ABORT, 'audit_log is append-only: DELETE is not permitted'); END;

CREATE VIEW credentials AS
  SELECT id, json_extract(body, '$.session') AS session, json_extract(body, '$.tenant') AS tenant,
         json_extract(body, '$.agent') AS agent, json_extract(body, '$.role') AS role, body, seq
  FROM state WHERE kind = 'credential';
CREATE VIEW revocations AS SELECT id, body, seq FROM state WHERE kind = 'revocation';
CREATE VIEW budgets AS
  SELECT id, json_extract(body, '$.limit') AS "limit", json_extract(body, '$.spent') AS spent,
         json_extract(body, '$.reserved') AS reserved, body, seq
  FROM state WHERE kind = 'budget';
CREATE VIEW reservations AS SELECT id, body, seq FROM state WHERE kind = 'reservation';
CREATE VIEW approvals AS
  SELECT id, json_extract(body, '$.state') AS state, body, seq FROM state WHERE kind = 'approval';

-- Decision and outcome side by side, in the columns and words that readers of older audit logs know. A call about
-- which a person was asked is one row, the last decision on it. `placet audit` shows the same rows.
CREATE VIEW audit_log AS
WITH outcome AS MATERIALIZED (
  SELECT json_extract(o.leaf, '$.fact.outcome.decision') AS decision,
         CASE json_extract(o.leaf, '$.fact.outcome.status')
           WHEN 'succeeded' THEN 'success' ELSE json_extract(o.leaf, '$.fact.outcome.status') END AS status,
         json_extract(o.leaf, '$.fact.outcome.error')    AS error,
         v.body                                          AS body
  FROM entry o LEFT JOIN "view" v ON v.seq = o.seq
  WHERE json_type(o.leaf, '$.fact.outcome') IS NOT NULL
),
asked AS MATERIALIZED (
  SELECT leaf ->> '$.fact.decision.approval' AS approval, max(seq) AS last
  FROM entry WHERE leaf ->> '$.fact.decision.approval' IS NOT NULL GROUP BY 1
),
decided AS (
  SELECT e.seq, e.leaf ->> '$.id' AS id, e.leaf -> '$.fact.decision' AS fact, e.leaf, v.body AS body,
         e.leaf ->> '$.time_us' AS time_us
  FROM entry e LEFT JOIN "view" v ON v.seq = e.seq
  WHERE json_type(e.leaf, '$.fact.decision') IS NOT NULL
)
SELECT
  d.id AS id,
  d.seq AS seq,
  d.leaf ->> '$.session' AS session_id,
  strftime('%Y-%m-%dT%H:%M:%S', d.time_us / 1000000, 'unixepoch')
    || printf('.%06d+00:00', d.time_us % 1000000) AS timestamp,
  d.fact ->> '$.action' AS action_type,
  d.body ->> '$.target' AS action_target,
  d.body -> '$.args' AS action_params,
  d.body ->> '$.description' AS action_desc,
  CASE d.fact ->> '$.risk_tier' WHEN 'INFORMATIONAL' THEN 'LOW'
       WHEN 'OPERATIONAL' THEN 'MEDIUM' WHEN 'TRANSACTIONAL_LOW' THEN 'MEDIUM'
       WHEN 'TRANSACTIONAL_HIGH' THEN 'HIGH' WHEN 'DESTRUCTIVE' THEN 'HIGH' ELSE 'CRITICAL' END AS risk_level,
  CASE WHEN d.fact ->> '$.verdict' = 'allow' AND d.fact ->> '$.approval' IS NULL THEN 'auto'
       WHEN d.fact ->> '$.verdict' = 'deny' AND d.fact ->> '$.code' <> 'approval_denied' THEN 'block'
       ELSE 'approve' END AS approval,
  d.fact ->> '$.rules[0]' AS matched_rule,
  CASE WHEN d.fact ->> '$.code' = 'approval_denied' THEN 'denied'
       WHEN d.fact ->> '$.verdict' = 'allow' AND d.fact ->> '$.approval' IS NOT NULL THEN 'approved' END
    AS human_decision,
  CASE WHEN o.decision IS NOT NULL THEN o.status
       WHEN d.fact ->> '$.verdict' = 'allow' AND d.fact ->> '$.permit' THEN 'unknown'
       WHEN d.fact ->> '$.verdict' = 'allow' THEN 'not_started'
       WHEN d.fact ->> '$.verdict' = 'escalate' THEN 'pending'
       WHEN d.fact ->> '$.code' = 'approval_denied' THEN 'denied' ELSE 'blocked' END AS result_status,
  o.body -> '$.result' AS result_data,
  coalesce(o.body ->> '$.error', o.error, CASE WHEN d.fact ->> '$.verdict' = 'deny' THEN d.body ->> '$.reason' END)
    AS result_error,
  d.leaf ->> '$.agent' AS agent_id,
  d.body ->> '$.parent_agent_id' AS parent_agent_id,
  d.fact ->> '$.credential' AS chain_id,
  d.fact ->> '$.depth' AS chain_depth,
  d.fact ->> '$.event_type' AS event_type,
  coalesce(d.fact ->> '$.tool', d.fact ->> '$.action') AS tool_name,
  d.body -> '$.args' AS args_json,
  d.fact AS policy_decision_json,
  d.fact ->> '$.policy_version' AS policy_version,
  d.fact ->> '$.approval' AS hitl_action_id,
  (SELECT a.body ->> '$.decided.by' FROM state a
     WHERE a.kind = 'approval' AND a.id = d.fact ->> '$.approval' AND d.fact ->> '$.verdict' <> 'escalate')
    AS hitl_decided_by,
  CASE WHEN d.fact ->> '$.verdict' = 'escalate' THEN 'hitl_queued'
       WHEN d.fact ->> '$.verdict' = 'allow' AND d.fact ->> '$.approval' IS NOT NULL THEN 'hitl_approved'
       WHEN d.fact ->> '$.verdict' = 'allow' THEN 'allowed'
       WHEN d.fact ->> '$.code' = 'approval_denied' THEN 'hitl_denied'
       WHEN d.fact ->> '$.hard' THEN 'blocked'
       ELSE 'soft_denied' END AS outcome,
  d.body -> '$.context' AS context_json,
  d.fact ->> '$.risk_tier' AS risk_tier, d.fact ->> '$.verdict' AS verdict, d.fact ->> '$.code' AS code,
  d.body ->> '$.reason' AS reason
FROM decided d LEFT JOIN outcome o ON o.decision = d.id
               LEFT JOIN asked ON asked.approval = d.fact ->> '$.approval'
WHERE asked.last IS NULL OR asked.last = d.seq
ORDER BY d.seq;
