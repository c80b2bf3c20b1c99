-- The tables of a HAPI FHIR JPA server 8.8.0 that hold resources, as Hibernate makes them on PostgreSQL:
-- same columns, types, keys and indexes. The tables of search indexes are left out: nothing here reads them.
-- Names are unqualified, so the tables land in the first schema of search_path.

-- HAPI's sequences: each server takes numbers in blocks of 50.
CREATE SEQUENCE seq_resource_id START WITH 1000 INCREMENT BY 50;
CREATE SEQUENCE seq_resource_history_id START WITH 1000 INCREMENT BY 50;
CREATE SEQUENCE seq_restag_id START WITH 1000 INCREMENT BY 50;
CREATE SEQUENCE seq_historytag_id START WITH 1000 INCREMENT BY 50;
CREATE SEQUENCE seq_tagdef_id START WITH 1 INCREMENT BY 50;

CREATE TABLE hfj_partition (
    part_id integer NOT NULL,
    part_desc character varying(200),
    part_name character varying(200) NOT NULL,
    CONSTRAINT hfj_partition_pkey PRIMARY KEY (part_id),
    CONSTRAINT idx_part_name UNIQUE (part_name)
);

CREATE TABLE hfj_resource_type (
    res_type_id smallint NOT NULL,
    res_type character varying(100) NOT NULL,
    CONSTRAINT hfj_resource_type_pkey PRIMARY KEY (res_type_id),
    CONSTRAINT idx_res_type_name UNIQUE (res_type)
);

CREATE TABLE hfj_tag_def (
    tag_id bigint NOT NULL,
    tag_code character varying(200),
    tag_display character varying(200),
    tag_system character varying(200),
    tag_type integer NOT NULL,
    tag_user_selected boolean,
    tag_version character varying(30),
    CONSTRAINT hfj_tag_def_pkey PRIMARY KEY (tag_id)
);
CREATE INDEX idx_tag_def_tp_cd_sys ON hfj_tag_def (tag_type, tag_code, tag_system, tag_id, tag_version, tag_user_selected);

CREATE TABLE hfj_resource (
    res_id bigint NOT NULL,
    partition_id integer,
    res_deleted_at timestamp(6) without time zone,
    res_version character varying(7),
    has_tags boolean NOT NULL,
    res_published timestamp(6) without time zone NOT NULL,
    res_updated timestamp(6) without time zone NOT NULL,
    fhir_id character varying(64),
    sp_has_links boolean NOT NULL,
    hash_sha256 character varying(64),
    sp_index_status smallint,
    res_language character varying(20),
    sp_cmpstr_uniq_present boolean,
    sp_cmptoks_present boolean,
    sp_coords_present boolean NOT NULL,
    sp_date_present boolean NOT NULL,
    sp_number_present boolean NOT NULL,
    sp_quantity_nrml_present boolean NOT NULL,
    sp_quantity_present boolean NOT NULL,
    sp_string_present boolean NOT NULL,
    sp_token_present boolean NOT NULL,
    sp_uri_present boolean NOT NULL,
    partition_date date,
    res_type character varying(40) NOT NULL,
    res_type_id smallint,
    search_url_present boolean,
    res_ver bigint NOT NULL,
    CONSTRAINT hfj_resource_pkey PRIMARY KEY (res_id),
    CONSTRAINT idx_res_type_fhir_id UNIQUE (res_type, fhir_id)
);
CREATE INDEX idx_res_date ON hfj_resource (res_updated);
CREATE INDEX idx_res_fhir_id ON hfj_resource (fhir_id);
CREATE INDEX idx_res_resid_updated ON hfj_resource (res_id, res_updated, partition_id);
CREATE INDEX idx_res_type_del_updated ON hfj_resource (res_type, res_deleted_at, res_updated, partition_id, res_id);

CREATE TABLE hfj_res_ver (
    partition_id integer,
    pid bigint NOT NULL,
    res_deleted_at timestamp(6) without time zone,
    res_version character varying(7),
    has_tags boolean NOT NULL,
    res_published timestamp(6) without time zone NOT NULL,
    res_updated timestamp(6) without time zone NOT NULL,
    res_encoding character varying(5) NOT NULL,
    partition_date date,
    request_id character varying(16),
    res_text oid,
    res_id bigint NOT NULL,
    res_text_vc text,
    res_type character varying(40) NOT NULL,
    res_type_id smallint,
    res_ver bigint NOT NULL,
    source_uri character varying(768),
    CONSTRAINT hfj_res_ver_pkey PRIMARY KEY (pid),
    CONSTRAINT idx_resver_id_ver UNIQUE (res_id, res_ver),
    CONSTRAINT fk_resource_history_resource FOREIGN KEY (res_id) REFERENCES hfj_resource(res_id)
);
CREATE INDEX idx_resver_date ON hfj_res_ver (res_updated, res_id);
CREATE INDEX idx_resver_id_date ON hfj_res_ver (res_id, res_updated);
CREATE INDEX idx_resver_id_src_uri ON hfj_res_ver (source_uri, res_id, partition_id);
CREATE INDEX idx_resver_type_date ON hfj_res_ver (res_type, res_updated, res_id);

CREATE TABLE hfj_res_tag (
    pid bigint NOT NULL,
    partition_id integer,
    partition_date date,
    tag_id bigint,
    res_id bigint,
    res_type character varying(40) NOT NULL,
    res_type_id smallint,
    CONSTRAINT hfj_res_tag_pkey PRIMARY KEY (pid),
    CONSTRAINT idx_restag_tagid UNIQUE (res_id, tag_id),
    CONSTRAINT fk_restag_resource FOREIGN KEY (res_id) REFERENCES hfj_resource(res_id)
);
CREATE INDEX idx_res_tag_res_tag ON hfj_res_tag (res_id, tag_id, partition_id);
CREATE INDEX idx_res_tag_tag_res ON hfj_res_tag (tag_id, res_id, partition_id);

CREATE TABLE hfj_history_tag (
    pid bigint NOT NULL,
    partition_id integer,
    partition_date date,
    tag_id bigint,
    res_ver_pid bigint NOT NULL,
    res_id bigint NOT NULL,
    res_type character varying(40) NOT NULL,
    res_type_id smallint,
    CONSTRAINT hfj_history_tag_pkey PRIMARY KEY (pid),
    CONSTRAINT idx_reshisttag_tagid UNIQUE (res_ver_pid, tag_id),
    CONSTRAINT fk_historytag_history FOREIGN KEY (res_ver_pid) REFERENCES hfj_res_ver(pid)
);
CREATE INDEX idx_reshisttag_resid ON hfj_history_tag (res_id);

CREATE TABLE hfj_res_ver_prov (
    res_ver_pid bigint NOT NULL,
    partition_id integer,
    partition_date date,
    request_id character varying(16),
    res_pid bigint NOT NULL,
    source_uri character varying(768),
    CONSTRAINT hfj_res_ver_prov_pkey PRIMARY KEY (res_ver_pid),
    CONSTRAINT fk_resverprov_res_pid FOREIGN KEY (res_pid) REFERENCES hfj_resource(res_id)
);
CREATE INDEX idx_resverprov_requestid ON hfj_res_ver_prov (request_id);
CREATE INDEX idx_resverprov_res_pid ON hfj_res_ver_prov (res_pid);
CREATE INDEX idx_resverprov_sourceuri ON hfj_res_ver_prov (source_uri);

CREATE TABLE hfj_forced_id (
    pid bigint NOT NULL,
    partition_id integer,
    partition_date date,
    forced_id character varying(100) NOT NULL,
    resource_pid bigint NOT NULL,
    resource_type character varying(100) DEFAULT ''::character varying,
    CONSTRAINT hfj_forced_id_pkey PRIMARY KEY (pid)
);

INSERT INTO hfj_resource_type (res_type_id, res_type) VALUES
    (1, 'Account'), (2, 'ActivityDefinition'), (3, 'ActorDefinition'), (4, 'AdministrableProductDefinition'), (5,
    'AdverseEvent'), (6, 'AllergyIntolerance'), (7, 'Appointment'), (8, 'AppointmentResponse'), (9,
    'ArtifactAssessment'), (10, 'AuditEvent'), (11, 'Basic'), (12, 'Binary'), (13, 'BiologicallyDerivedProduct'), (14,
    'BiologicallyDerivedProductDispense'), (15, 'BodySite'), (16, 'BodyStructure'), (17, 'Bundle'), (18,
    'CapabilityStatement'), (19, 'CarePlan'), (20, 'CareTeam'), (21, 'CatalogEntry'), (22, 'ChargeItem'), (23,
    'ChargeItemDefinition'), (24, 'Citation'), (25, 'Claim'), (26, 'ClaimResponse'), (27, 'ClinicalImpression'), (28,
    'ClinicalUseDefinition'), (29, 'CodeSystem'), (30, 'Communication'), (31, 'CommunicationRequest'), (32,
    'CompartmentDefinition'), (33, 'Composition'), (34, 'ConceptMap'), (35, 'Condition'), (36, 'ConditionDefinition'),
    (37, 'Conformance'), (38, 'Consent'), (39, 'Contract'), (40, 'Coverage'), (41, 'CoverageEligibilityRequest'), (42,
    'CoverageEligibilityResponse'), (43, 'DataElement'), (44, 'DetectedIssue'), (45, 'Device'), (46,
    'DeviceAssociation'), (47, 'DeviceComponent'), (48, 'DeviceDefinition'), (49, 'DeviceDispense'), (50,
    'DeviceMetric'), (51, 'DeviceRequest'), (52, 'DeviceUsage'), (53, 'DeviceUseRequest'), (54, 'DeviceUseStatement'),
    (55, 'DiagnosticOrder'), (56, 'DiagnosticReport'), (57, 'DocumentManifest'), (58, 'DocumentReference'), (59,
    'EffectEvidenceSynthesis'), (60, 'EligibilityRequest'), (61, 'EligibilityResponse'), (62, 'Encounter'), (63,
    'EncounterHistory'), (64, 'Endpoint'), (65, 'EnrollmentRequest'), (66, 'EnrollmentResponse'), (67,
    'EpisodeOfCare'), (68, 'EventDefinition'), (69, 'Evidence'), (70, 'EvidenceReport'), (71, 'EvidenceVariable'),
    (72, 'ExampleScenario'), (73, 'ExpansionProfile'), (74, 'ExplanationOfBenefit'), (75, 'FamilyMemberHistory'), (76,
    'Flag'), (77, 'FormularyItem'), (78, 'GenomicStudy'), (79, 'Goal'), (80, 'GraphDefinition'), (81, 'Group'), (82,
    'GuidanceResponse'), (83, 'HealthcareService'), (84, 'ImagingManifest'), (85, 'ImagingObjectSelection'), (86,
    'ImagingSelection'), (87, 'ImagingStudy'), (88, 'Immunization'), (89, 'ImmunizationEvaluation'), (90,
    'ImmunizationRecommendation'), (91, 'ImplementationGuide'), (92, 'Ingredient'), (93, 'InsurancePlan'), (94,
    'InventoryItem'), (95, 'InventoryReport'), (96, 'Invoice'), (97, 'Library'), (98, 'Linkage'), (99, 'List'), (100,
    'Location'), (101, 'ManufacturedItemDefinition'), (102, 'Measure'), (103, 'MeasureReport'), (104, 'Media'), (105,
    'Medication'), (106, 'MedicationAdministration'), (107, 'MedicationDispense'), (108, 'MedicationKnowledge'), (109,
    'MedicationOrder'), (110, 'MedicationRequest'), (111, 'MedicationStatement'), (112, 'MedicinalProduct'), (113,
    'MedicinalProductAuthorization'), (114, 'MedicinalProductContraindication'), (115, 'MedicinalProductDefinition'),
    (116, 'MedicinalProductIndication'), (117, 'MedicinalProductIngredient'), (118, 'MedicinalProductInteraction'),
    (119, 'MedicinalProductManufactured'), (120, 'MedicinalProductPackaged'), (121, 'MedicinalProductPharmaceutical'),
    (122, 'MedicinalProductUndesirableEffect'), (123, 'MessageDefinition'), (124, 'MessageHeader'), (125,
    'MolecularSequence'), (126, 'NamingSystem'), (127, 'NutritionIntake'), (128, 'NutritionOrder'), (129,
    'NutritionProduct'), (130, 'Observation'), (131, 'ObservationDefinition'), (132, 'OperationDefinition'), (133,
    'OperationOutcome'), (134, 'Order'), (135, 'OrderResponse'), (136, 'Organization'), (137,
    'OrganizationAffiliation'), (138, 'PackagedProductDefinition'), (139, 'Parameters'), (140, 'Patient'), (141,
    'PaymentNotice'), (142, 'PaymentReconciliation'), (143, 'Permission'), (144, 'Person'), (145, 'PlanDefinition'),
    (146, 'Practitioner'), (147, 'PractitionerRole'), (148, 'Procedure'), (149, 'ProcedureRequest'), (150,
    'ProcessRequest'), (151, 'ProcessResponse'), (152, 'Provenance'), (153, 'Questionnaire'), (154,
    'QuestionnaireResponse'), (155, 'ReferralRequest'), (156, 'RegulatedAuthorization'), (157, 'RelatedPerson'), (158,
    'RequestGroup'), (159, 'RequestOrchestration'), (160, 'Requirements'), (161, 'ResearchDefinition'), (162,
    'ResearchElementDefinition'), (163, 'ResearchStudy'), (164, 'ResearchSubject'), (165, 'RiskAssessment'), (166,
    'RiskEvidenceSynthesis'), (167, 'Schedule'), (168, 'SearchParameter'), (169, 'Sequence'), (170,
    'ServiceDefinition'), (171, 'ServiceRequest'), (172, 'Slot'), (173, 'Specimen'), (174, 'SpecimenDefinition'),
    (175, 'StructureDefinition'), (176, 'StructureMap'), (177, 'Subscription'), (178, 'SubscriptionStatus'), (179,
    'SubscriptionTopic'), (180, 'Substance'), (181, 'SubstanceDefinition'), (182, 'SubstanceNucleicAcid'), (183,
    'SubstancePolymer'), (184, 'SubstanceProtein'), (185, 'SubstanceReferenceInformation'), (186,
    'SubstanceSourceMaterial'), (187, 'SubstanceSpecification'), (188, 'SupplyDelivery'), (189, 'SupplyRequest'),
    (190, 'Task'), (191, 'TerminologyCapabilities'), (192, 'TestPlan'), (193, 'TestReport'), (194, 'TestScript'),
    (195, 'Transport'), (196, 'ValueSet'), (197, 'VerificationResult'), (198, 'VisionPrescription');
