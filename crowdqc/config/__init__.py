"""The study file: TOML, read into frozen models, every key checked.

Paths in it are relative to the file, and may hold ``${NAME:-default}``, an environment
variable with a default. A key that is not known is refused with the nearest one that is.

`toml` reads a file and reports its faults; `inputs` and `methods` are the sections, what there is
and what is done with it; `study` is the whole file. Other files of the user's (a policy, a paper)
are read in the same way: `Section`, `read_toml`, `validate`.
"""

from crowdqc.config.inputs import (
    SIDE_MAX,
    Annotations,
    Assignments,
    Code,
    Label,
    Picture,
    Plane,
    Publication,
    Window,
)
from crowdqc.config.methods import (
    Dataset,
    EngineSettings,
    FaultyRater,
    Fuse,
    Masks,
    RaterLimits,
    Simulate,
    Train,
)
from crowdqc.config.study import SIMULATED, Changes, Config, load_config
from crowdqc.config.toml import (
    NAME,
    Model,
    Section,
    expand,
    read_toml,
    to_toml,
    toml_line,
    validate,
)

__all__ = [
    "NAME",
    "SIDE_MAX",
    "SIMULATED",
    "Annotations",
    "Assignments",
    "Changes",
    "Code",
    "Config",
    "Dataset",
    "EngineSettings",
    "FaultyRater",
    "Fuse",
    "Label",
    "Masks",
    "Model",
    "Picture",
    "Plane",
    "Publication",
    "RaterLimits",
    "Section",
    "Simulate",
    "Train",
    "Window",
    "expand",
    "load_config",
    "read_toml",
    "to_toml",
    "toml_line",
    "validate",
]
