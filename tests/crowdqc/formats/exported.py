"""What tools export, in small: the parts of files that tests put together."""

LABELS = '[study]\nname = "s"\n[labels]\nliver = { name = "liver", value = 1 }\n'


SPLEEN = LABELS + 'spleen = { name = "spleen", value = 2 }\n'


LINE = "0 .5 .5 .2 .2\n"


def checks(findings):
    return sorted(finding.check for finding in findings)


def states(study):
    rows = study.readings[["case", "slice", "rater", "state"]].itertuples(index=False, name=None)
    return {f"{case}/{k}/{rater}": state for case, k, rater, state in rows}


def coco(*names, rater=None, category="liver", **more):
    """COCO of one box on each of the images of these names."""
    images = [
        {"id": k, "file_name": name, "height": 100, "width": 200} for k, name in enumerate(names)
    ]
    boxes = [
        {"id": k, "image_id": k, "category_id": 1, "bbox": [1, 2, 20, 30], **more}
        | ({} if rater is None else {"rad_id": rater})
        for k in range(len(names))
    ]
    return {"images": images, "annotations": boxes, "categories": [{"id": 1, "name": category}]}


def region(**more):
    value = {"x": 10, "y": 10, "width": 20, "height": 20, "rotation": 0}
    sizes = {"original_width": 200, "original_height": 100}
    value |= {"rectanglelabels": ["liver"]}
    return {"id": "r", "type": "rectanglelabels", **sizes, "value": value, **more}


def annotation(who, *results, day=1, cancelled=False, **more):
    when = f"2024-01-{day:02}T10:00:00Z"
    return {"completed_by": who, "result": list(results), "was_cancelled": cancelled} | {
        "updated_at": when, "id": day, **more
    }  # fmt: skip


STUDIO = 'format = "labelstudio"\npath = "all.json"\nimage = "p{case}_{slice}"'


BRUSH = {"format": "rle", "rle": [0], "brushlabels": ["liver"]}


POLYGON = {"points": [[10, 10], [30, 10], [20, 40]], "polygonlabels": ["liver"]}


ELLIPSE = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 20, "ellipselabels": ["liver"]}


POINT = {"x": 5, "y": 5, "width": 0.5, "keypointlabels": ["liver"]}


def cvat(*images, meta=""):
    return f"<annotations><meta>{meta}</meta>{''.join(images)}</annotations>"


def cvat_image(k, inner="", task=""):
    return f'<image id="{k}" name="p1/{k}.png" width="200" height="100" {task}>{inner}</image>'


CVAT_BOX = '<box label="liver" xtl="10" ytl="10" xbr="30" ybr="30"/>'


CVAT = 'format = "cvat"\npath = "a.xml"\nrater = "x"\nimage = "{case}/{slice}.png"'


SHAPES = {
    "polygon": 'points="10,10;30,10;20,40"',
    "polyline": 'points="10,10;30,10"',
    "points": 'points="10,10"',
    "mask": 'rle="1, 2" left="10" top="10" width="20" height="30"',
    "ellipse": 'cx="20" cy="25" rx="10" ry="15"',
    "cuboid": 'xtl1="1"',
}
YOLO = 'format = "yolo"\npath = "{rater}/{case}.txt"\nsize = [100, 200]'
