"""One parser per dataset: a row of its listing or table to a record. A new dataset is a config, a file and a case."""

from schemas.config import ManifestSource, SourceConfig, VideosSource
from schemas.flow import Parser


def build_parser(source: SourceConfig) -> Parser:
    """The parser of a source's rows."""
    match source:
        case VideosSource():
            from transforms.datasets.videos import parse_video

            return lambda row: parse_video(row, text=source.text, licence=source.licence)
        case ManifestSource():
            from transforms.datasets.manifest import parse_manifest

            return lambda row: parse_manifest(row, licence=source.licence)
