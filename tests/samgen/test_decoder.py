import pytest

torch = pytest.importorskip("torch")

from samgen.decoder import decode_boxes  # noqa: E402


@pytest.fixture
def embedding():
    return torch.randn(64, 10, 10, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def boxes():
    generator = torch.Generator().manual_seed(8)
    low = torch.rand(11, 2, generator=generator) * 120
    return torch.cat([low, low + 1 + torch.rand(11, 2, generator=generator) * 39], dim=1)


def stock_decode(sam, embedding, boxes, *, multimask):
    """All masks of the package's own decoder, box by box."""
    logits, ious = [], []
    with torch.no_grad():
        for box in boxes:
            sparse, dense = sam.prompt_encoder(points=None, boxes=box[None], masks=None)
            mask, iou = sam.mask_decoder(
                image_embeddings=embedding[None],
                image_pe=sam.prompt_encoder.get_dense_pe(),
                sparse_prompt_embeddings=sparse,
                dense_prompt_embeddings=dense,
                multimask_output=multimask,
            )
            logits.append(mask[0])
            ious.append(iou[0])
    return torch.stack(logits), torch.stack(ious)


@pytest.mark.parametrize("chunk", [None, 1, 3, 11, 64])
def test_masks_are_those_of_the_stock_decoder(sam, embedding, boxes, chunk):
    stock, ious = stock_decode(sam, embedding, boxes, multimask=False)

    logits, predicted = decode_boxes(sam, embedding, boxes, chunk=chunk)

    assert stock.std() > 0.3
    torch.testing.assert_close(logits, stock[:, 0], atol=1e-4, rtol=0)
    torch.testing.assert_close(predicted, ious[:, 0], atol=1e-4, rtol=0)
    ties = stock[:, 0].abs() < 1e-4
    assert torch.equal((logits > 0)[~ties], (stock[:, 0] > 0)[~ties])


def test_of_three_masks_it_gives_the_one_with_the_highest_predicted_iou(sam, embedding, boxes):
    stock, ious = stock_decode(sam, embedding, boxes, multimask=True)
    best = ious.argmax(dim=1)
    each = torch.arange(len(boxes))

    logits, predicted = decode_boxes(sam, embedding, boxes, heads="best of three", chunk=4)

    torch.testing.assert_close(logits, stock[each, best], atol=1e-4, rtol=0)
    torch.testing.assert_close(predicted, ious[each, best], atol=1e-4, rtol=0)


@pytest.mark.parametrize("head", [1, 2, 3])
def test_each_of_the_three_heads_can_win(sam, embedding, boxes, head, monkeypatch):
    bias = torch.zeros(4)
    bias[head] = 100.0
    monkeypatch.setattr(sam.mask_decoder.iou_prediction_head.layers[-1].bias, "data", bias)
    stock, _ = stock_decode(sam, embedding, boxes[:2], multimask=True)

    logits, _ = decode_boxes(sam, embedding, boxes[:2], heads="best of three")

    torch.testing.assert_close(logits, stock[:, head - 1], atol=1e-4, rtol=0)


def test_a_picture_that_is_not_square_keeps_rows_and_columns_apart(sam, boxes, monkeypatch):
    monkeypatch.setattr(sam.prompt_encoder, "image_embedding_size", (6, 10))
    embedding = torch.randn(64, 6, 10, generator=torch.Generator().manual_seed(9))
    stock, _ = stock_decode(sam, embedding, boxes, multimask=False)

    logits, _ = decode_boxes(sam, embedding, boxes)

    assert logits.shape == (11, 24, 40)
    torch.testing.assert_close(logits, stock[:, 0], atol=1e-4, rtol=0)


def test_no_boxes_have_no_masks(sam, embedding):
    logits, predicted = decode_boxes(sam, embedding, torch.zeros(0, 4))

    assert (logits.shape, predicted.shape) == ((0, 40, 40), (0,))
