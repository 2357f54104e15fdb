"""The sources of UI datasets: tables with a picture file in each row, and files that hold many pictures."""

from typing import Literal

from schemas.fields import Config, Uris

_COLUMNS: dict[str, tuple[str, ...]] = {
    "seeclick_web": ("img_filename", "elements"),
    "ricosca": ("img_filename", "instruction", "bbox"),
    "widget_captions": ("img_filename", "instruction", "bbox"),
    "screen_summaries": ("img_filename", "captions"),
    "screenspot": ("img_filename", "bbox", "instruction"),
    "mind2web": ("annotation_id", "confirmed_task", "actions", "action_reprs"),
    "aitw_json": ("img_filename", "goal", "action_type_id"),
}


class UiTable(Config):
    """A JSON list or JSONL table that names a picture file in each row.

    seeclick_web, ricosca, widget_captions, screen_summaries as SeeClick gives them; screenspot: its JSON files;
    mind2web, aitw_json: SeeClick's episodes, a record per step.
    """

    name: Literal[
        "seeclick_web", "ricosca", "widget_captions", "screen_summaries", "screenspot", "mind2web", "aitw_json"
    ]
    path: str
    root: str = ""
    """pictures are relative to it; empty: the folder of the table"""
    licence: str = ""

    @property
    def required(self) -> tuple[str, ...]:
        """Columns that the table must have."""
        return _COLUMNS[self.name]


class UiFiles(Config):
    """Files with many screenshots inside: paths, folders (searched through), globs.

    aitw, android_control: TFRecords, compressed with GZIP or not; multimodal_mind2web, screenspot_parquet: Parquet.
    """

    name: Literal["aitw", "android_control", "multimodal_mind2web", "screenspot_parquet"]
    uris: Uris
    root: str = ""
    """URIs in the data are relative to it; empty: the folder that all `uris` share"""
    licence: str = ""
    extensions: list[str] = ["tfrecord", "tfrecords", "gz", "parquet"]
    """what counts inside a folder; a file or glob named outright (of names like x-00000-of-00020) is taken as it is"""


class RicoRefExpFiles(Config):
    """RICO RefExp (UIBert): TFRecords that name the screenshots of Rico and do not hold them."""

    name: Literal["rico_refexp"] = "rico_refexp"
    uris: Uris
    root: str = ""
    """URIs in the data are relative to it; empty: the folder that all `uris` share"""
    pictures: str = ""
    """folder of Rico's screenshots (18177.jpg); empty: there are none, all rows are filtered(no_image)"""
    licence: str = ""
    extensions: list[str] = ["tfrecord", "tfrecords", "gz"]
    """what counts inside a folder"""


class Vision2UiColumns(Config):
    """What the columns, and the fields of a node of the page's tree, are called.

    image, bbox: card of the dataset; type, content: Magma's appendix; children, position: not verified.
    """

    image: str = "image"
    tree: str = "bbox"
    """the tree of elements: an object, a list of objects, or either as JSON text"""
    type: str = "type"
    content: str = "content"
    children: str = "children"
    box: str = "position"
    """{x, y, width, height} or a list of four, in pixels of the screenshot"""
    list_is: Literal["xywh", "xyxy"] = "xywh"
    """what the list of four means"""


class Vision2UiFiles(Config):
    """Vision2UI (WebCode2M): Parquet with screenshots and the tree of each page's elements."""

    name: Literal["vision2ui"] = "vision2ui"
    uris: Uris
    root: str = ""
    """URIs in the data are relative to it; empty: the folder that all `uris` share"""
    licence: str = ""
    extensions: list[str] = ["parquet"]
    """what counts inside a folder"""
    columns: Vision2UiColumns = Vision2UiColumns()


UiDatasetConfig = UiTable | UiFiles | RicoRefExpFiles | Vision2UiFiles
