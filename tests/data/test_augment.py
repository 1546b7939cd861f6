"""Crops that are enlarged, against torchvision's; images in another size; more images than the memory has room for."""

import os

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as tvf
from PIL import Image
from torchvision.transforms import InterpolationMode, RandomResizedCrop

from resnet_edu.data import dataset as data
from resnet_edu.data import folder
from resnet_edu.data.dataset import Batches, Dataset, draw_crops, resized_crop
from resnet_edu.data.folder import ImageArrays, check_memory


def test_parts_are_enlarged_as_torchvision_does_it():
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(40, 3, 24, 32, generator=generator)
    top, left, height, width = draw_crops(40, 24, 32, generator)
    flip = torch.arange(40) % 2 == 0
    found = resized_crop(images, top, left, height, width, flip)
    for i, image in enumerate(images):
        box = [int(v[i]) for v in (top, left, height, width)]
        wanted = tvf.resized_crop(image, *box, [24, 32], InterpolationMode.BILINEAR, antialias=False)
        wanted = tvf.hflip(wanted) if flip[i] else wanted
        torch.testing.assert_close(found[i], wanted, atol=2e-4, rtol=0)


@pytest.mark.parametrize("size", [(32, 32), (24, 60), (8, 8)])
def test_parts_are_drawn_as_torchvision_does_it(size):
    """Means and spreads of areas, sides and places; in the narrow image some attempts do not fit."""
    torch.manual_seed(1)
    image = torch.empty(3, *size)
    theirs = [RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3)) for _ in range(3000)]
    theirs = torch.tensor(theirs).double().T  # top, left, height, width
    ours = draw_crops(3000, *size, torch.Generator().manual_seed(2)).double()
    assert (ours[0] + ours[2]).max() <= size[0]
    assert (ours[1] + ours[3]).max() <= size[1]
    assert min(ours[0].min(), ours[1].min()) >= 0
    for of_ours, of_theirs in ((ours, theirs), ((ours[2] * ours[3])[None], (theirs[2] * theirs[3])[None])):
        error = of_theirs.std(1) / 3000**0.5
        assert ((of_ours.mean(1) - of_theirs.mean(1)).abs() < 6 * error).all()
        torch.testing.assert_close(of_ours.std(1), of_theirs.std(1), rtol=0.08, atol=0)


@pytest.mark.parametrize("within", [None, (8, 8)])
def test_without_mirroring(within):
    picks = [
        Batches.draw(torch.arange(50), torch.Generator().manual_seed(0), True, flip, within) for flip in (True, False)
    ]
    assert set(picks[0][3].tolist()) == {0, 1}
    assert set(picks[1][3].tolist()) == {0}
    keep = [row for row in range(len(picks[0])) if row != 3]
    assert torch.equal(picks[0][keep], picks[1][keep])  # the rest is drawn alike


@pytest.mark.parametrize("size", [16, 96])
def test_cifar10_in_another_size_is_what_pillow_makes(monkeypatch, size):
    images = np.random.default_rng(0).integers(0, 256, (12, 3, 32, 32), dtype=np.uint8)
    labels = np.arange(12) % 2
    arrays = ImageArrays("cifar10", images[:8], labels[:8], images[8:], labels[8:], ("a", "b"))
    monkeypatch.setattr(data, "load_cifar10", lambda root, **options: arrays)
    found = data.load("cifar10", resize=size)
    assert (found.shape, found.classes) == ((3, size, size), ("a", "b"))
    for made, old in zip([*found.train_images, *found.test_images], images, strict=True):
        wanted = Image.fromarray(old.transpose(1, 2, 0)).resize((size, size), Image.Resampling.BILINEAR)
        assert np.abs(made.permute(1, 2, 0).numpy().astype(int) - np.asarray(wanted)).max() <= 1
    with pytest.raises(ValueError, match="`resize` must be at least 1, but it is 0"):
        data.load("cifar10", resize=0)


class TestMemory:
    def test_the_size_that_is_named_is_the_largest_that_fits(self, monkeypatch):
        monkeypatch.setattr(folder, "free_memory", lambda: 10**9)
        with pytest.raises(
            ValueError, match=r"12,000 images of 3x224x224 take 1\.8 GB, .* at most --resize (\d+)"
        ) as e:
            check_memory(12_000, (3, 224, 224))
        fits = int(str(e.value).split("--resize ")[1].split(",")[0])
        check_memory(12_000, (3, fits, fits))
        with pytest.raises(ValueError, match=r"1\.0 GB are free"):
            check_memory(12_000, (3, fits + 1, fits + 1))

    def test_nothing_is_known(self, monkeypatch):
        monkeypatch.setattr(folder, "free_memory", lambda: None)
        check_memory(10**9, (3, 224, 224))

    def test_what_is_free_here(self):
        assert 0 < folder.free_memory() <= os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")

    def test_a_folder_is_refused_before_it_is_read(self, tmp_path, monkeypatch):
        for name in ("a", "b"):
            (tmp_path / name).mkdir()
            for i in range(3):
                Image.new("RGB", (8, 8)).save(tmp_path / name / f"{i}.png")
        monkeypatch.setattr(folder, "free_memory", lambda: 10**6)
        assert isinstance(data.load(tmp_path), Dataset)
        with pytest.raises(ValueError, match=r"6 images of 3x224x224 take 0\.0 GB"):
            data.load(tmp_path, resize=224)
