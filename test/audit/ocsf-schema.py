"""ocsf-schema.py FOLDER OUT: the classes that we export, of OCSF 1.8.0, as JSON Schema by class_uid. FOLDER holds the package ocsf_json_schema."""
import json
import sys

folder, out = sys.argv[1:]
sys.path.insert(0, folder)
from ocsf_json_schema import OcsfJsonSchemaEmbedded, get_ocsf_schema  # noqa: E402

CLASSES = {1008: [], 2004: [], 3001: [], 3002: [], 3004: [], 6002: [], 6003: [], 6005: [], 6006: ["security_control"]}

schema = OcsfJsonSchemaEmbedded(get_ocsf_schema(version="1.8.0"))
made = {uid: schema.get_class_schema(schema.lookup_class_name_from_uid(uid), profiles) for uid, profiles in CLASSES.items()}
with open(out, "w", encoding="utf-8") as file:
    json.dump(made, file)
