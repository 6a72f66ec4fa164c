"""The writer of bundles as one has it who copies its file: the package around it, and gRPC, are not there."""

from importlib.util import module_from_spec, spec_from_file_location

from protocol import ROOT

_spec = spec_from_file_location("lapel_bundle", ROOT / "client/python/src/lapel/bundle.py")
_writer = module_from_spec(_spec)
_spec.loader.exec_module(_writer)

write_bundle = _writer.write_bundle
write_external_head = _writer.write_external_head
write_graph_head = _writer.write_graph_head
write_probabilities_head = _writer.write_probabilities_head
