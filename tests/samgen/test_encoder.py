import pytest

torch = pytest.importorskip("torch")

from samgen import encoder as kernels  # noqa: E402
from samgen.encoder import encode_pictures  # noqa: E402


@pytest.fixture
def pixels():
    return torch.randn(2, 3, 160, 160, generator=torch.Generator().manual_seed(2))


@pytest.mark.parametrize("attention", ["rows", "augmented", None])
def test_embeddings_are_those_of_the_stock_encoder(sam, pixels, attention):
    with torch.no_grad():
        stock = sam.image_encoder(pixels)

    ours = encode_pictures(sam.image_encoder, pixels, attention=attention)

    assert stock.std() > 0.5
    torch.testing.assert_close(ours, stock, atol=2e-5, rtol=0)


@pytest.mark.parametrize("queries", [7, 64, 100])
def test_chunks_of_rows_need_not_fit(sam, monkeypatch, queries):
    # 18 x 18 tokens are more than are taken at once; 324 is no multiple of 7, 64 or 100.
    attention = sam.image_encoder.blocks[1].attn
    x = torch.randn(1, 18, 18, 48, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        from segment_anything.modeling.image_encoder import Attention

        larger = Attention(48, num_heads=3, use_rel_pos=True, input_size=(18, 18))
        for name, value in attention.named_parameters():
            if "rel_pos" not in name:
                larger.get_parameter(name).copy_(value)
        larger.rel_pos_h.normal_(generator=torch.Generator().manual_seed(4))
        larger.rel_pos_w.normal_(generator=torch.Generator().manual_seed(5))
        monkeypatch.setattr(kernels, "QUERIES", queries)
        ours = kernels._attend(larger, x, "rows")

        torch.testing.assert_close(ours, larger(x), atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", ["rows", "augmented"])
def test_a_table_of_another_size_is_resized_as_in_sam(sam, attention):
    # The windows' tables are for 4 x 4 tokens; here they meet 6 x 5.
    module = sam.image_encoder.blocks[0].attn
    x = torch.randn(2, 6, 5, 48, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        torch.testing.assert_close(
            kernels._attend(module, x, attention), module(x), atol=1e-5, rtol=0
        )


@pytest.mark.parametrize("attention", ["rows", "augmented"])
def test_an_encoder_without_the_bias_is_encoded_too(sam, attention, monkeypatch, pixels):
    for block in sam.image_encoder.blocks:
        monkeypatch.setattr(block.attn, "use_rel_pos", False)
    with torch.no_grad():
        stock = sam.image_encoder(pixels)

    ours = encode_pictures(sam.image_encoder, pixels, attention=attention)

    torch.testing.assert_close(ours, stock, atol=2e-5, rtol=0)


def test_a_picture_does_not_depend_on_the_others_of_its_batch(sam, pixels):
    together = encode_pictures(sam.image_encoder, pixels)
    alone = encode_pictures(sam.image_encoder, pixels[1:])

    torch.testing.assert_close(together[1:], alone, atol=2e-5, rtol=0)


def test_bfloat16_is_close_and_comes_back_as_float32(sam, pixels):
    exact = encode_pictures(sam.image_encoder, pixels)
    lower = encode_pictures(sam.image_encoder, pixels, bf16=True)

    assert lower.dtype == torch.float32
    error = (lower - exact).norm() / exact.norm()
    assert 0 < error < 0.03


@pytest.mark.parametrize("size", [(10, 7), (5, 8), (3, 4)])
def test_windows_of_any_grid_are_filled_up_as_in_sam(sam, size):
    block = sam.image_encoder.blocks[0]
    x = torch.randn(2, *size, 48, generator=torch.Generator().manual_seed(10))
    with torch.no_grad():
        torch.testing.assert_close(kernels._block(block, x, "rows"), block(x), atol=1e-5, rtol=0)
