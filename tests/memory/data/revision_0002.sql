BEGIN TRANSACTION;
CREATE TABLE auctions (
	"key" INTEGER NOT NULL, 
	id TEXT NOT NULL, 
	task INTEGER NOT NULL, 
	revision BIGINT NOT NULL, 
	status VARCHAR(16) NOT NULL, 
	owner VARCHAR(32), 
	source TEXT NOT NULL, 
	started_at DATETIME NOT NULL, 
	awarded_at DATETIME, 
	settled_at DATETIME, 
	abandoned_at DATETIME, 
	reason TEXT, 
	jury VARCHAR(16), 
	provisional TEXT, 
	weight_cost DOUBLE, 
	weight_entropy DOUBLE, 
	weights_source TEXT, 
	seconds DOUBLE, 
	CONSTRAINT pk_auctions PRIMARY KEY ("key"), 
	CONSTRAINT ck_auctions_status CHECK (status IN ('open', 'awarded', 'settled', 'abandoned')), 
	CONSTRAINT fk_auctions_task FOREIGN KEY(task) REFERENCES tasks ("key"), 
	CONSTRAINT uq_auctions_id UNIQUE (id)
);
INSERT INTO "auctions" VALUES(1,'past',1,3,'settled',NULL,'','2026-11-21 15:25:56.572068','2026-11-21 15:25:57.363481','2026-11-21 15:25:58.427493',NULL,NULL,'panel','a',1.0,0.0,'given',2.0);
INSERT INTO "auctions" VALUES(4,'settled',4,7,'settled',NULL,'','2026-11-21 15:26:00.283524','2026-11-21 15:26:00.788288','2026-11-21 15:26:01.679609',NULL,NULL,'panel','a',1.0,0.0,'given',2.0);
INSERT INTO "auctions" VALUES(8,'judged early',8,11,'settled',NULL,'','2026-11-21 15:26:03.776209','2026-11-21 15:26:04.191346','2026-11-21 15:26:05.661131',NULL,NULL,'panel','a',1.0,0.0,'given',2.0);
INSERT INTO "auctions" VALUES(12,'for its own sake',12,15,'awarded',NULL,'','2026-11-21 15:26:05.974148','2026-11-21 15:26:06.132909',NULL,NULL,NULL,'panel','a',1.0,0.0,'given',2.0);
INSERT INTO "auctions" VALUES(16,'failed',4,18,'settled',NULL,'','2026-11-21 15:26:06.938301','2026-11-21 15:26:07.084692','2026-11-21 15:26:07.335509',NULL,NULL,'panel','a',1.0,0.0,'given',2.0);
INSERT INTO "auctions" VALUES(19,'nobody',19,20,'abandoned',NULL,'','2026-11-21 15:26:08.599403',NULL,NULL,'2026-11-21 15:26:08.979326','no bids',NULL,NULL,NULL,NULL,NULL,NULL);
INSERT INTO "auctions" VALUES(21,'broken off',21,23,'abandoned',NULL,'','2026-11-21 15:26:09.301692','2026-11-21 15:26:09.575396',NULL,'2026-11-21 15:26:09.779534','cancelled','panel','a',1.0,0.0,'given',2.0);
CREATE TABLE baselines (
	auction INTEGER NOT NULL, 
	agent TEXT NOT NULL, 
	dollars DOUBLE, 
	basis TEXT NOT NULL, 
	CONSTRAINT pk_baselines PRIMARY KEY (auction), 
	CONSTRAINT fk_baselines_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "baselines" VALUES(1,'large',1.0,'its own execution');
INSERT INTO "baselines" VALUES(4,'large',1.0,'its own execution');
INSERT INTO "baselines" VALUES(16,'large',1.0,'its own execution');
CREATE TABLE calls (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	part VARCHAR(16) NOT NULL, 
	outcome INTEGER, 
	stage VARCHAR(16) NOT NULL, 
	agent TEXT NOT NULL, 
	prompt TEXT NOT NULL, 
	input_tokens BIGINT NOT NULL, 
	output_tokens BIGINT NOT NULL, 
	dollars DOUBLE, 
	seconds DOUBLE, 
	error TEXT, 
	CONSTRAINT pk_calls PRIMARY KEY (auction, position), 
	CONSTRAINT fk_calls_auction_outcome FOREIGN KEY(auction, outcome) REFERENCES outcomes (auction, position), 
	CONSTRAINT ck_calls_part CHECK (part IN ('auction', 'execution', 'outcome', 'stray')), 
	CONSTRAINT fk_calls_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "calls" VALUES(1,0,'auction',NULL,'bid','a','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(1,1,'auction',NULL,'judge','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(1,2,'execution',NULL,'execute','a','',7,3,0.25,0.5,NULL);
INSERT INTO "calls" VALUES(1,3,'outcome',0,'verify','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(4,0,'auction',NULL,'bid','a','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(4,1,'auction',NULL,'judge','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(4,2,'execution',NULL,'execute','b','',7,3,0.25,0.5,NULL);
INSERT INTO "calls" VALUES(4,3,'outcome',0,'verify','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(8,0,'auction',NULL,'bid','a','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(8,1,'auction',NULL,'judge','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(8,2,'execution',NULL,'execute','a','',7,3,0.25,0.5,NULL);
INSERT INTO "calls" VALUES(8,3,'outcome',1,'verify','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(12,0,'auction',NULL,'bid','a','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(12,1,'auction',NULL,'judge','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(16,0,'auction',NULL,'bid','a','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(16,1,'auction',NULL,'judge','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(16,2,'execution',NULL,'execute','a','',7,3,0.25,0.5,NULL);
INSERT INTO "calls" VALUES(16,3,'outcome',0,'verify','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(19,0,'stray',NULL,'bid','a','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(21,0,'auction',NULL,'bid','a','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(21,1,'auction',NULL,'judge','judge','',7,3,0.01,0.5,NULL);
INSERT INTO "calls" VALUES(21,2,'stray',NULL,'execute','a','',7,3,0.01,0.5,NULL);
CREATE TABLE dropouts (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	agent TEXT NOT NULL, 
	stage VARCHAR(16) NOT NULL, 
	code TEXT NOT NULL, 
	reason TEXT NOT NULL, 
	CONSTRAINT pk_dropouts PRIMARY KEY (auction, position), 
	CONSTRAINT fk_dropouts_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
CREATE TABLE embeddings (
	task INTEGER NOT NULL, 
	embedder TEXT NOT NULL, 
	vector BLOB NOT NULL, 
	CONSTRAINT pk_embeddings PRIMARY KEY (task, embedder), 
	CONSTRAINT fk_embeddings_task FOREIGN KEY(task) REFERENCES tasks ("key") ON DELETE CASCADE
);
INSERT INTO "embeddings" VALUES(1,'hash',X'93B5CB3EFDFE2C3F953AAF3E6A81043F');
INSERT INTO "embeddings" VALUES(4,'hash',X'877CF63DEED4EE3E26F8163FA8EF25BF');
INSERT INTO "embeddings" VALUES(8,'hash',X'0EB07F3E660A6A3FE767E33C20C8A2BE');
INSERT INTO "embeddings" VALUES(12,'hash',X'5570DCBD444E7C3E765679BE3D906EBF');
INSERT INTO "embeddings" VALUES(19,'hash',X'46598A3EB901583F524DE63C94FBECBE');
INSERT INTO "embeddings" VALUES(21,'hash',X'4E8EC5BEF147A6BD9ABB60BEBA7364BF');
CREATE TABLE executions (
	auction INTEGER NOT NULL, 
	agent TEXT NOT NULL, 
	answer TEXT NOT NULL, 
	mode TEXT NOT NULL, 
	followed_strategy BOOLEAN NOT NULL, 
	trace TEXT NOT NULL, 
	seconds DOUBLE, 
	error TEXT, 
	CONSTRAINT pk_executions PRIMARY KEY (auction), 
	CONSTRAINT fk_executions_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "executions" VALUES(1,'a','42','direct',1,'[{"role":"user","parts":["x",1,null]}]',1.5,NULL);
INSERT INTO "executions" VALUES(4,'b','42','direct',1,'[{"role":"user","parts":["x",1,null]}]',1.5,NULL);
INSERT INTO "executions" VALUES(8,'a','42','direct',1,'[{"role":"user","parts":["x",1,null]}]',1.5,NULL);
INSERT INTO "executions" VALUES(16,'a','42','direct',1,'[{"role":"user","parts":["x",1,null]}]',1.5,NULL);
CREATE TABLE juror_weights (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	juror TEXT NOT NULL, 
	weight DOUBLE, 
	CONSTRAINT pk_juror_weights PRIMARY KEY (auction, position), 
	CONSTRAINT fk_juror_weights_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "juror_weights" VALUES(1,0,'judge',1.0);
INSERT INTO "juror_weights" VALUES(4,0,'judge',1.0);
INSERT INTO "juror_weights" VALUES(8,0,'judge',1.0);
INSERT INTO "juror_weights" VALUES(12,0,'judge',1.0);
INSERT INTO "juror_weights" VALUES(16,0,'judge',1.0);
INSERT INTO "juror_weights" VALUES(21,0,'judge',1.0);
CREATE TABLE memory_state (
	one INTEGER NOT NULL, 
	revision BIGINT NOT NULL, 
	generation BIGINT NOT NULL, 
	CONSTRAINT pk_memory_state PRIMARY KEY (one), 
	CONSTRAINT ck_memory_state_single CHECK (one = 1)
);
INSERT INTO "memory_state" VALUES(1,23,0);
CREATE TABLE memory_version (
	version_num VARCHAR(32) NOT NULL, 
	CONSTRAINT memory_version_pkc PRIMARY KEY (version_num)
);
INSERT INTO "memory_version" VALUES('0002');
CREATE TABLE outcomes (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	verdict VARCHAR(16) NOT NULL, 
	judged_by TEXT NOT NULL, 
	detail TEXT NOT NULL, 
	at DATETIME NOT NULL, 
	CONSTRAINT pk_outcomes PRIMARY KEY (auction, position), 
	CONSTRAINT ck_outcomes_verdict CHECK (verdict IN ('success', 'failure', 'unknown')), 
	CONSTRAINT fk_outcomes_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "outcomes" VALUES(1,0,'success','tests','','2026-11-21 15:25:58.427493');
INSERT INTO "outcomes" VALUES(4,0,'success','tests','','2026-11-21 15:26:01.679609');
INSERT INTO "outcomes" VALUES(4,1,'failure','user','it drops0000 the last d83d name','2026-11-21 15:26:03.109229');
INSERT INTO "outcomes" VALUES(8,0,'unknown','user','before the work was done','2026-11-21 15:26:05.543506');
INSERT INTO "outcomes" VALUES(8,1,'success','tests','','2026-11-21 15:26:05.661131');
INSERT INTO "outcomes" VALUES(12,0,'success','user','','2026-11-21 15:26:06.771530');
INSERT INTO "outcomes" VALUES(16,0,'failure','tests','','2026-11-21 15:26:07.335509');
CREATE TABLE "pairs" (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	refinement INTEGER NOT NULL, 
	past_auction TEXT NOT NULL, 
	task TEXT, 
	similarity DOUBLE, 
	losing TEXT, 
	winning TEXT, 
	own VARCHAR(16) NOT NULL, 
	past INTEGER, 
	losing_of INTEGER, 
	winning_of INTEGER, 
	CONSTRAINT pk_pairs PRIMARY KEY (auction, position), 
	CONSTRAINT fk_pairs_auction_refinement FOREIGN KEY(auction, refinement) REFERENCES refinements (auction, position), 
	CONSTRAINT fk_pairs_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE, 
	CONSTRAINT fk_pairs_past_losing_of FOREIGN KEY(past, losing_of) REFERENCES strategies (auction, position), 
	CONSTRAINT fk_pairs_past_winning_of FOREIGN KEY(past, winning_of) REFERENCES strategies (auction, position)
);
INSERT INTO "pairs" VALUES(4,0,0,'past',NULL,0.5,NULL,NULL,'losing',1,1,0);
INSERT INTO "pairs" VALUES(4,1,0,'elsewhere','multiply',0.5,'guess','count','losing',NULL,NULL,NULL);
CREATE TABLE refinements (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	agent TEXT NOT NULL, 
	note TEXT, 
	CONSTRAINT pk_refinements PRIMARY KEY (auction, position), 
	CONSTRAINT fk_refinements_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "refinements" VALUES(4,0,'b',NULL);
CREATE TABLE scores (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	strategy INTEGER NOT NULL, 
	juror TEXT NOT NULL, 
	bidder TEXT NOT NULL, 
	value DOUBLE, 
	imputed BOOLEAN NOT NULL, 
	expected DOUBLE, 
	note TEXT, 
	CONSTRAINT pk_scores PRIMARY KEY (auction, position), 
	CONSTRAINT fk_scores_auction_strategy FOREIGN KEY(auction, strategy) REFERENCES strategies (auction, position), 
	CONSTRAINT fk_scores_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "scores" VALUES(1,0,0,'judge','a',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(1,1,1,'judge','b',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(4,0,0,'judge','a',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(4,1,1,'judge','b',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(4,2,2,'judge','b',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(8,0,0,'judge','a',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(8,1,1,'judge','b',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(12,0,0,'judge','a',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(12,1,1,'judge','b',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(16,0,0,'judge','a',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(16,1,1,'judge','b',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(21,0,0,'judge','a',3.0,0,NULL,NULL);
INSERT INTO "scores" VALUES(21,1,1,'judge','b',3.0,0,NULL,NULL);
CREATE TABLE strategies (
	auction INTEGER NOT NULL, 
	position INTEGER NOT NULL, 
	refinement INTEGER, 
	agent TEXT NOT NULL, 
	text TEXT NOT NULL, 
	tokens BIGINT NOT NULL, 
	entropy_normalised DOUBLE, 
	entropy_nats DOUBLE, 
	entropy_top_k INTEGER, 
	entropy_tokens BIGINT, 
	entropy_note TEXT, 
	refined BOOLEAN NOT NULL, 
	truncated BOOLEAN NOT NULL, 
	price DOUBLE, 
	cost DOUBLE, 
	value DOUBLE, 
	notes TEXT NOT NULL, 
	won BOOLEAN NOT NULL, 
	CONSTRAINT pk_strategies PRIMARY KEY (auction, position), 
	CONSTRAINT fk_strategies_auction_refinement FOREIGN KEY(auction, refinement) REFERENCES refinements (auction, position), 
	CONSTRAINT fk_strategies_auction FOREIGN KEY(auction) REFERENCES auctions ("key") ON DELETE CASCADE
);
INSERT INTO "strategies" VALUES(1,0,NULL,'a','count',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,1.0,0.0,'[]',1);
INSERT INTO "strategies" VALUES(1,1,NULL,'b','guess',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,2.0,0.0,'[]',0);
INSERT INTO "strategies" VALUES(4,0,NULL,'a','first plan of a',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,1.0,0.0,'[]',0);
INSERT INTO "strategies" VALUES(4,1,NULL,'b','first plan of b',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,2.0,0.0,'[]',0);
INSERT INTO "strategies" VALUES(4,2,0,'b','refined plan of b',10,NULL,NULL,NULL,NULL,NULL,1,0,1.0,0.5,0.0,'[]',1);
INSERT INTO "strategies" VALUES(8,0,NULL,'a','first plan of a',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,1.0,0.0,'[]',1);
INSERT INTO "strategies" VALUES(8,1,NULL,'b','first plan of b',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,2.0,0.0,'[]',0);
INSERT INTO "strategies" VALUES(12,0,NULL,'a','first plan of a',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,1.0,0.0,'[]',1);
INSERT INTO "strategies" VALUES(12,1,NULL,'b','first plan of b',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,2.0,0.0,'[]',0);
INSERT INTO "strategies" VALUES(16,0,NULL,'a','first plan of a',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,1.0,0.0,'[]',1);
INSERT INTO "strategies" VALUES(16,1,NULL,'b','first plan of b',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,2.0,0.0,'[]',0);
INSERT INTO "strategies" VALUES(21,0,NULL,'a','first plan of a',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,1.0,0.0,'[]',1);
INSERT INTO "strategies" VALUES(21,1,NULL,'b','first plan of b',10,NULL,NULL,NULL,NULL,NULL,0,0,1.0,2.0,0.0,'[]',0);
CREATE TABLE tasks (
	"key" INTEGER NOT NULL, 
	digest VARCHAR(64) NOT NULL, 
	text_digest VARCHAR(64) NOT NULL, 
	id TEXT NOT NULL, 
	domain TEXT, 
	text TEXT NOT NULL, 
	CONSTRAINT pk_tasks PRIMARY KEY ("key"), 
	CONSTRAINT uq_tasks_digest UNIQUE (digest)
);
INSERT INTO "tasks" VALUES(1,'e8b98baaf7dde8cdb7f54a2e735b48de3b9cbc897c8d58d57af9e3ff290fbe42','c55b0c0335e3b4f195e9a7c9088e02b3875db1499ee1fcfc36a2d2f889448a73','c55b0c0335e3b4f1',NULL,'add two numbers');
INSERT INTO "tasks" VALUES(4,'ad8a47e56bfa2133864116827b99c56957745ddfcd0cacde8f1f558d94ef5f79','646964943fd2271187dbe29287f57e0238491c029cc6d8ce76f25ae240474294','646964943fd22711',NULL,'sort');
INSERT INTO "tasks" VALUES(8,'4ad6a18c6641b5e1e4ff72b01f09267f6b8d2e915561916f5ce421e26733b809','a330395cc0a53ad1207736546afff4735940937564bbf75ce1edad40780d9139','a330395cc0a53ad1',NULL,'list');
INSERT INTO "tasks" VALUES(12,'6d65cb402b7632d7612e1bf49270f8f6c52c932418bf4dc393f333b08352d1ae','3c8c082e47323c2858b0898b39c045b39b6f5874133f77d89f9fe9c8034b2e1d','3c8c082e47323c28',NULL,'bake');
INSERT INTO "tasks" VALUES(19,'96b938d193c8c9b7e37f3176fbd814f52959720bc10d5337cc46d57c7f0dbd57','9a692cc5ecc3c159c6f1386be6969007ed3dea5937d840c982ca941fb9a3f084','9a692cc5ecc3c159','kitchen','boil');
INSERT INTO "tasks" VALUES(21,'d1e0a160f079b312e1649349e1a3503342b88cd026cb96336c77aa5833962920','1f23c707b474c45bdcbd9ab3459d308063ccb8d7b77e67d85f691396ae230efc','1f23c707b474c45b',NULL,'fry');
CREATE INDEX ix_auctions_task ON auctions (task);
CREATE INDEX ix_auctions_revision ON auctions (revision);
CREATE INDEX ix_auctions_owner ON auctions (owner);
CREATE INDEX ix_auctions_started_at ON auctions (started_at);
CREATE INDEX ix_strategies_auction_agent ON strategies (auction, agent);
CREATE INDEX ix_pairs_past_auction ON pairs (past_auction);
CREATE INDEX ix_pairs_past ON pairs (past);
COMMIT;
