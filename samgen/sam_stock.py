"""What is done with the package `segment_anything` itself: a SAM built, and the steps of the paper.

The mode "paper" goes through `SamPredictor`, with what it does at each step, so that the masks of
the study can be made again; `samgen.predictors.sam` says what that is.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from segment_anything import SamPredictor, sam_model_registry

from crowdqc.findings import InputError
from crowdqc.geometry import Boxes
from samgen.cache import Embedding
from samgen.predictor import Prediction
from samgen.preparation import enhance_picture
from samgen.weights import architecture_of

JUST_INSIDE = np.nextafter(np.float32(0.5), np.float32(1))


def build_sam(state: dict[str, Any], path: Path) -> Any:
    """A SAM with these weights, which it shares: nothing is initialised and nothing copied.

    Parameters
    ----------
    state : dict
        Name -> tensor.
    path : Path
        Where they are from, for messages.

    Raises
    ------
    InputError
        If they are not those of a known architecture.
    """
    try:
        with torch.device("meta"):
            sam = sam_model_registry[architecture_of(state)]()
        sam.load_state_dict(state, assign=True)
    except (InputError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"{path}: does not hold a SAM of a known architecture ({reason})."
        ) from error
    return sam.float().eval().requires_grad_(requires_grad=False)


def encode_as_paper(sam: Any, picture: NDArray[np.uint8], *, edges: bool) -> Embedding:
    """Embedding of a picture, enhanced as in the paper.

    Parameters
    ----------
    sam : segment_anything.modeling.Sam
    picture : ndarray of uint8, shape (rows, columns)
    edges : bool
        Whether edges are enhanced, too: for SAM, not for MedSAM.
    """
    predictor = SamPredictor(sam)
    predictor.set_image(enhance_picture(picture, edges=edges))
    rows, columns = picture.shape
    return Embedding(
        features=predictor.features[0].cpu().numpy(),
        picture_size=(rows, columns),
        input_size=predictor.input_size,
    )


def predict_as_paper(sam: Any, encoded: Embedding, boxes: Boxes) -> Prediction:
    """The best of three masks for each box, its edges truncated to whole pixels.

    Parameters
    ----------
    sam : segment_anything.modeling.Sam
    encoded : Embedding
        From `encode_as_paper`.
    boxes : ndarray, shape (K, 4)
        ``x0, y0, x1, y1`` in px of the picture.
    """
    predictor = SamPredictor(sam)
    predictor.features = torch.as_tensor(encoded.features, dtype=torch.float32, device=sam.device)[
        None
    ]
    predictor.original_size, predictor.input_size = encoded.picture_size, encoded.input_size
    predictor.is_image_set = True
    probability = np.empty((len(boxes), *encoded.picture_size), np.float32)
    predicted_iou = np.empty(len(boxes))
    for k, box in enumerate(np.trunc(boxes).astype(np.int64)):
        logits, scores, _ = predictor.predict(box=box, multimask_output=True, return_logits=True)
        best = int(np.argmax(scores))
        probability[k] = _sigmoid(logits[best])
        predicted_iou[k] = scores[best]
    return Prediction(probability=probability, predicted_iou=predicted_iou)


def _sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Above 0.5 exactly where the logit is above 0, also where rounding would make it 0.5."""
    soft = torch.as_tensor(logits).sigmoid().numpy()
    return np.where(logits > 0, np.maximum(soft, JUST_INSIDE), np.minimum(soft, np.float32(0.5)))
