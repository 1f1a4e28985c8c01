PRAGMA application_id = 1651798577;
PRAGMA user_version = 1;
BEGIN TRANSACTION;
CREATE TABLE bad_rows (
    row INTEGER PRIMARY KEY, line INTEGER NOT NULL, field TEXT NOT NULL, reason TEXT NOT NULL,
    message TEXT NOT NULL, cure TEXT NOT NULL, flow_id TEXT NOT NULL, trigger_time TEXT NOT NULL, extra BLOB
);
CREATE TABLE calls (at_ms INTEGER NOT NULL);
INSERT INTO "calls" VALUES(1704470720037);
INSERT INTO "calls" VALUES(1704470720464);
INSERT INTO "calls" VALUES(1704470720668);
INSERT INTO "calls" VALUES(1704470720754);
INSERT INTO "calls" VALUES(1704470720956);
INSERT INTO "calls" VALUES(1704470721159);
INSERT INTO "calls" VALUES(1704470721362);
INSERT INTO "calls" VALUES(1704470721463);
INSERT INTO "calls" VALUES(1704470721564);
CREATE TABLE duplicates (row INTEGER PRIMARY KEY);
CREATE TABLE fence (id INTEGER PRIMARY KEY CHECK (id = 1), epoch INTEGER NOT NULL);
INSERT INTO "fence" VALUES(1,1);
CREATE TABLE flows (
    rank INTEGER PRIMARY KEY, flow_id INTEGER NOT NULL, rows INTEGER NOT NULL, first_row INTEGER NOT NULL
);
INSERT INTO "flows" VALUES(1,3301,2,1);
INSERT INTO "flows" VALUES(2,3302,2,2);
INSERT INTO "flows" VALUES(3,3303,2,3);
INSERT INTO "flows" VALUES(4,3304,2,4);
CREATE TABLE header (id INTEGER PRIMARY KEY CHECK (id = 1), json BLOB NOT NULL);
INSERT INTO "header" VALUES(1,CAST('{"run":"r","tool":"0.1.0","sqlite":"3.40.1","created_ms":1704470719376,"settings":{"gateway":"sandbox","api":"v2.0","org_id":"","user_id":"","scenario":"[latency]\nshape = \"constant\"\nmedian_ms = 10\n[[faults]]\nkind = \"code\"\ncode = 62109\nflows = [3302]\nattempts = [1]\n[[faults]]\nkind = \"reset\"\nflows = [3303]\nattempts = [1]\n","seed":0,"rates":[],"in_flight":64,"order":"input","retries":5,"on_62109":"reconcile","on_unknown":"stop-flow","on_failure":"continue","max_failures":null,"duplicates":"refuse","skip_invalid":false,"timezone":null,"time_unit":"ms","rows":null,"timeout_s":30.0,"connect_timeout_s":10.0,"drain_s":8.0,"reconcile_wait_s":1.0,"patience_s":900.0,"durability":"power","baseline":false},"input":{"name":"jobs.csv","format":"csv","sha256":"72dcae0ee0dc1c5fd89ea34acb48c3952d329b7188f747dc601fa1f1d1408797","size":226,"columns":["flowId","triggerTime","site"],"flow_column":"flowId","time_column":"triggerTime"},"first_row":1,"rows":8,"invalid":0,"duplicates":0,"flows":4,"schema":1}' AS BLOB));
CREATE TABLE intents (
    seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, row INTEGER NOT NULL, attempt INTEGER NOT NULL,
    at_ms INTEGER NOT NULL
);
INSERT INTO "intents" VALUES(1,1,1,1,1704470720246);
INSERT INTO "intents" VALUES(2,1,2,1,1704470720246);
INSERT INTO "intents" VALUES(3,1,3,1,1704470720246);
INSERT INTO "intents" VALUES(4,1,4,1,1704470720246);
INSERT INTO "intents" VALUES(9,1,5,1,1704470720464);
INSERT INTO "intents" VALUES(10,1,8,1,1704470720464);
INSERT INTO "intents" VALUES(14,1,2,2,1704470721666);
CREATE TABLE jobs (
    row INTEGER PRIMARY KEY, flow_id INTEGER NOT NULL, trigger_time_ms INTEGER NOT NULL, extra BLOB
);
INSERT INTO "jobs" VALUES(1,3301,1704067200000,CAST('{"site":"Köln"}' AS BLOB));
INSERT INTO "jobs" VALUES(2,3302,1704067200000,CAST('{"site":"Brno"}' AS BLOB));
INSERT INTO "jobs" VALUES(3,3303,1704067200000,CAST('{"site":"Łódź"}' AS BLOB));
INSERT INTO "jobs" VALUES(4,3304,1704067200000,CAST('{"site":"Porto"}' AS BLOB));
INSERT INTO "jobs" VALUES(5,3301,1704070800000,CAST('{"site":"Köln"}' AS BLOB));
INSERT INTO "jobs" VALUES(6,3302,1704070800000,CAST('{"site":"Brno"}' AS BLOB));
INSERT INTO "jobs" VALUES(7,3303,1704070800000,CAST('{"site":"Łódź"}' AS BLOB));
INSERT INTO "jobs" VALUES(8,3304,1704070800000,CAST('{"site":"Porto"}' AS BLOB));
CREATE TABLE notes (key TEXT PRIMARY KEY, json BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE reruns (ending INTEGER PRIMARY KEY);
CREATE TABLE sessions (epoch INTEGER PRIMARY KEY, at_ms INTEGER NOT NULL, durability TEXT NOT NULL);
INSERT INTO "sessions" VALUES(1,1704470719376,'power');
CREATE TABLE steps (
    seq INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, row INTEGER NOT NULL, state INTEGER NOT NULL,
    at_ms INTEGER NOT NULL, attempt INTEGER NOT NULL, evidence INTEGER, code TEXT NOT NULL,
    message TEXT NOT NULL, instance_id TEXT, via TEXT NOT NULL, flags TEXT NOT NULL, sent_ms INTEGER,
    latency_ms REAL, status INTEGER, bytes_out INTEGER
);
INSERT INTO "steps" VALUES(5,1,2,3,1704470720462,1,2,'62109','Server internal exception',NULL,'','',1704470720253,208.6,200,43);
INSERT INTO "steps" VALUES(6,1,1,4,1704470720464,1,0,'','','3301-20240101000000','reply','',1704470720253,210.3,200,43);
INSERT INTO "steps" VALUES(7,1,4,4,1704470720464,1,0,'','','3304-20240101000000','reply','',1704470720253,210.5,200,43);
INSERT INTO "steps" VALUES(8,1,3,3,1704470720464,1,2,'connection-lost','[Errno 104] Connection reset by peer',NULL,'','',1704470720253,NULL,NULL,43);
INSERT INTO "steps" VALUES(11,1,5,4,1704470720689,1,0,'','','3301-20240101010000','reply','',1704470720478,210.8,200,43);
INSERT INTO "steps" VALUES(12,1,8,4,1704470720689,1,0,'','','3304-20240101010000','reply','',1704470720478,211.0,200,43);
INSERT INTO "steps" VALUES(13,1,2,0,1704470721666,1,1,'62109','Server internal exception',NULL,'','',NULL,NULL,NULL,NULL);
CREATE INDEX lanes ON jobs (flow_id, row, trigger_time_ms);
CREATE UNIQUE INDEX flow_ids ON flows (flow_id);
CREATE INDEX flow_lengths ON flows (rows DESC, rank);
CREATE TRIGGER header_stand_UPDATE BEFORE UPDATE ON header
BEGIN SELECT RAISE(ABORT, 'header are never changed'); END;
CREATE TRIGGER header_stand_DELETE BEFORE DELETE ON header
BEGIN SELECT RAISE(ABORT, 'header are never changed'); END;
CREATE TRIGGER jobs_stand_UPDATE BEFORE UPDATE ON jobs
BEGIN SELECT RAISE(ABORT, 'jobs are never changed'); END;
CREATE TRIGGER jobs_stand_DELETE BEFORE DELETE ON jobs
BEGIN SELECT RAISE(ABORT, 'jobs are never changed'); END;
CREATE TRIGGER bad_rows_stand_UPDATE BEFORE UPDATE ON bad_rows
BEGIN SELECT RAISE(ABORT, 'bad_rows are never changed'); END;
CREATE TRIGGER bad_rows_stand_DELETE BEFORE DELETE ON bad_rows
BEGIN SELECT RAISE(ABORT, 'bad_rows are never changed'); END;
CREATE TRIGGER flows_stand_UPDATE BEFORE UPDATE ON flows
BEGIN SELECT RAISE(ABORT, 'flows are never changed'); END;
CREATE TRIGGER flows_stand_DELETE BEFORE DELETE ON flows
BEGIN SELECT RAISE(ABORT, 'flows are never changed'); END;
CREATE TRIGGER intents_stand_UPDATE BEFORE UPDATE ON intents
BEGIN SELECT RAISE(ABORT, 'intents are never changed'); END;
CREATE TRIGGER intents_stand_DELETE BEFORE DELETE ON intents
BEGIN SELECT RAISE(ABORT, 'intents are never changed'); END;
CREATE TRIGGER steps_stand_UPDATE BEFORE UPDATE ON steps
BEGIN SELECT RAISE(ABORT, 'steps are never changed'); END;
CREATE TRIGGER steps_stand_DELETE BEFORE DELETE ON steps
BEGIN SELECT RAISE(ABORT, 'steps are never changed'); END;
CREATE TRIGGER reruns_stand_UPDATE BEFORE UPDATE ON reruns
BEGIN SELECT RAISE(ABORT, 'reruns are never changed'); END;
CREATE TRIGGER reruns_stand_DELETE BEFORE DELETE ON reruns
BEGIN SELECT RAISE(ABORT, 'reruns are never changed'); END;
CREATE TRIGGER calls_stand_UPDATE BEFORE UPDATE ON calls
BEGIN SELECT RAISE(ABORT, 'calls are never changed'); END;
CREATE TRIGGER calls_stand_DELETE BEFORE DELETE ON calls
BEGIN SELECT RAISE(ABORT, 'calls are never changed'); END;
CREATE TRIGGER sessions_stand_UPDATE BEFORE UPDATE ON sessions
BEGIN SELECT RAISE(ABORT, 'sessions are never changed'); END;
CREATE TRIGGER sessions_stand_DELETE BEFORE DELETE ON sessions
BEGIN SELECT RAISE(ABORT, 'sessions are never changed'); END;
COMMIT;
