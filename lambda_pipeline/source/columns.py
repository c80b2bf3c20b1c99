"""The columns of HAPI's tables that are read. Every other column is accounted for in docs/hapi.md."""

REQUIRED = {
    "hfj_resource": ("res_id", "res_type", "res_ver", "res_updated", "res_deleted_at"),
    "hfj_res_ver": ("pid", "res_id", "res_ver", "res_encoding", "res_text_vc"),
    "hfj_res_tag": ("res_id", "res_type", "tag_id"),
    "hfj_tag_def": ("tag_id", "tag_type", "tag_system", "tag_code", "tag_display"),
}
"""Columns that every supported version has, by table."""

OPTIONAL = {
    "hfj_resource": ("fhir_id", "partition_id", "res_type_id", "res_version"),
    "hfj_res_ver": ("res_text", "source_uri", "request_id"),
    "hfj_tag_def": ("tag_version", "tag_user_selected"),
    "hfj_forced_id": ("forced_id", "resource_pid"),
    "hfj_res_ver_prov": ("res_ver_pid", "source_uri", "request_id"),
}
"""Columns that are read where they exist. Of `res_type_id` only the existence matters: it tells HAPI 8.4 or newer.
`res_version` is the version of FHIR, which only the preflight reads."""

TABLES = tuple(dict.fromkeys((*REQUIRED, *OPTIONAL)))

USED = {table: (*REQUIRED.get(table, ()), *OPTIONAL.get(table, ())) for table in TABLES}
