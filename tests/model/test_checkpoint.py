import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoProcessor, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

import model as magma
from model.checkpoint import UNUSED, build_magma, load_magma, save_magma
from model.config import MagmaVisionConfig
from model.magma import MagmaForCausalLM
from model.processor import MagmaProcessor
from model.stored import fetched, stored_tensors
from tests.model.small import chat, picture, small_config, small_magma, small_processor, tokenizer

PROMPT = small_processor().prompt(chat("<image>\nWhere?"), [picture((120, 50))])


def logits(network: torch.nn.Module) -> torch.Tensor:
    with torch.no_grad():
        return network(**small_processor().batch([PROMPT])).logits


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "saved"
    save_magma(small_magma(), small_processor(), path)
    return path


def test_a_saved_model_answers_as_before(folder: Path) -> None:
    network, processor = load_magma(folder)
    assert torch.equal(logits(network), logits(small_magma()))
    assert isinstance(processor, MagmaProcessor)
    assert not network.training
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == set(UNUSED)


def test_transformers_loads_the_folder_without_remote_code(folder: Path) -> None:
    assert not list(folder.glob("*.py"))
    assert len({file.stat().st_mode for file in folder.iterdir()}) == 1, "weights can be read by whom the rest can"
    network = AutoModelForCausalLM.from_pretrained(folder)
    processor = AutoProcessor.from_pretrained(folder)
    assert type(network) is MagmaForCausalLM is magma.MagmaForCausalLM
    assert type(processor) is MagmaProcessor
    assert torch.equal(logits(network.eval()), logits(small_magma()))


def test_the_file_has_the_released_names_and_no_other(folder: Path) -> None:
    assert set(load_file(folder / "model.safetensors")) == set(small_magma().state_dict())


def test_shards_are_read_as_one(tmp_path: Path) -> None:
    small_magma().save_pretrained(tmp_path, max_shard_size="50KB")
    small_processor().save_pretrained(tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) > 2
    network, _ = load_magma(tmp_path)
    assert torch.equal(logits(network), logits(small_magma()))


def test_another_precision_can_be_asked_for(folder: Path) -> None:
    network, _ = load_magma(folder, dtype=torch.bfloat16, attention="eager")
    assert {parameter.dtype for parameter in network.parameters()} == {torch.bfloat16}
    assert network.language_model.model.rotary_emb.inv_freq.dtype == torch.float32
    assert network.config.text_config._attn_implementation == "eager"


def test_a_precision_that_torch_lacks_is_named(folder: Path) -> None:
    with pytest.raises(ValueError, match="dtype is 'bf16'; give one of torch"):
        load_magma(folder, dtype="bf16")
    assert load_magma(folder, dtype="bfloat16")[0].dtype == torch.bfloat16


def test_the_height_of_the_vocabulary_is_that_of_the_file(tmp_path: Path) -> None:
    config = small_config()
    config.text_config.vocab_size = 700
    MagmaForCausalLM(config).save_pretrained(tmp_path)
    small_processor().save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    written["text_config"]["vocab_size"] = 128256
    written["image_token_index"] = 3
    (tmp_path / "config.json").write_text(json.dumps(written))
    network, _ = load_magma(tmp_path)
    assert network.config.text_config.vocab_size == 700
    assert network.config.image_token_index == small_processor().ids.image


Change = Callable[[dict[str, torch.Tensor]], object]
NORM = "language_model.model.norm.weight"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda tensors: tensors.pop(NORM), f"1 missing: {NORM}"),
        (lambda tensors: tensors.update(more=torch.zeros(1)), r"1 not of this model: more \(in .*model.safetensors\)"),
        (
            lambda tensors: tensors.update({NORM: torch.zeros(5)}),
            rf"1 of another shape: {NORM} is \[5\] in .*model.safetensors, the model's is \[32\]",
        ),
        (lambda tensors: tensors.pop("language_model.lm_head.weight"), "lacks language_model.lm_head.weight"),
        (
            lambda tensors: tensors.update({"language_model.lm_head.weight": torch.zeros(7, 32)}),
            "has 570 rows, but language_model.lm_head.weight has 7",
        ),
    ],
    ids=["missing", "extra", "shape", "no head", "two heights"],
)
def test_a_tensor_that_does_not_fit_is_named(folder: Path, change: Change, named: str) -> None:
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(ValueError, match=named):
        load_magma(folder)


def test_a_file_without_the_unused_head_is_complete(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    for name in UNUSED:
        del tensors[name]
    save_file(tensors, folder / "model.safetensors")
    network, _ = load_magma(folder)
    assert torch.equal(logits(network), logits(small_magma()))
    assert not any(network.get_parameter(name).any() for name in UNUSED)


def test_a_file_cut_short_is_named(folder: Path) -> None:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ValueError, match=r"model.safetensors can't be read: .*cut short"):
        load_magma(folder)


def test_a_shard_that_is_not_there_is_named(tmp_path: Path) -> None:
    small_magma().save_pretrained(tmp_path, max_shard_size="50KB")
    small_processor().save_pretrained(tmp_path)
    gone = sorted(tmp_path.glob("*.safetensors"))[1]
    gone.unlink()
    with pytest.raises(ValueError, match=f"lacks {gone.name}, which model.safetensors.index.json names"):
        load_magma(tmp_path)


@pytest.mark.parametrize(
    ("source", "named"),
    [
        ("/nowhere/at/all", "/nowhere/at/all does not exist"),
        ("just_a_name", "just_a_name does not exist; give a folder, or a name on the Hugging Face hub"),
    ],
)
def test_a_source_that_is_nowhere_is_named(source: str, named: str) -> None:
    with pytest.raises(ValueError, match=named):
        fetched(source)


def test_a_name_is_looked_for_on_the_hub(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    asked = []

    def download(name: str, allow_patterns: list[str]) -> str:
        asked.append(name)
        if name == "no/such":
            raise OSError("offline")
        return str(folder)

    monkeypatch.setattr("model.stored.snapshot_download", download)
    assert fetched("microsoft/Magma-8B") == folder
    with pytest.raises(ValueError, match="no/such is no folder here and could not be had from the hub: offline"):
        fetched("no/such")
    assert asked == ["microsoft/Magma-8B", "no/such"]


def test_folders_without_weights_or_config_are_named(tmp_path: Path, folder: Path) -> None:
    with pytest.raises(ValueError, match=r"has no config\.json"):
        load_magma(tmp_path)
    with pytest.raises(ValueError, match="holds no weights"):
        stored_tensors(tmp_path)
    shutil.copy(folder / "model.safetensors", folder / "other.safetensors")
    with pytest.raises(ValueError, match="several files without an index"):
        load_magma(folder)


def llama_folder(path: Path, *, tied: bool = False) -> PreTrainedTokenizerFast:
    """A LLaMA with a tokenizer that knows nothing of Magma."""
    plain = type(tokenizer())(tokenizer_object=_without_magma(tokenizer()), eos_token="<|eot_id|>")
    config = LlamaConfig(
        vocab_size=len(plain),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
    )
    torch.manual_seed(5)
    LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(path)
    plain.save_pretrained(path)
    return plain


def _without_magma(full: PreTrainedTokenizerFast) -> object:
    state = json.loads(full.backend_tokenizer.to_str())
    state["added_tokens"] = [token for token in state["added_tokens"] if token["content"].startswith("<|")]
    return type(full.backend_tokenizer).from_str(json.dumps(state))


def clip_file(path: Path, form: str) -> MagmaForCausalLM:
    """The vision tower of a model as open_clip or timm would store it, with what Magma does not want beside it."""
    source = small_magma(seed=3)
    tower = {
        name.removeprefix("vision_tower.clip_vision_model."): tensor for name, tensor in source.state_dict().items()
    }
    tower = {name: tensor.clone() for name, tensor in tower.items() if name.startswith(("trunk.", "head."))}
    if form == "timm":
        tower = {name.removeprefix("trunk."): tensor for name, tensor in tower.items() if name.startswith("trunk.")}
        save_file(tower, path)
        return source
    text = {
        "logit_scale": torch.ones(()),
        "transformer.resblocks.0.ln_1.weight": torch.ones(3),
        "text.x": torch.ones(2),
    }
    stored = {f"visual.{name}": tensor for name, tensor in tower.items()} | text
    if form == "bin":
        torch.save(stored, path)
    else:
        save_file(stored, path)
    return source


SMALL_TOWER = {key: getattr(small_config().vision_config, key) for key in ("depths", "dims", "head_dim", "img_size")}


@pytest.mark.parametrize(
    ("form", "name", "tied"),
    [
        ("open_clip", "clip.safetensors", False),
        ("bin", "open_clip_pytorch_model.bin", True),
        ("timm", "t.safetensors", False),
    ],
)
def test_a_magma_is_built_from_a_llama_and_a_clip(tmp_path: Path, form: str, name: str, tied: bool) -> None:
    plain = llama_folder(tmp_path / "llama", tied=tied)
    source = clip_file(tmp_path / name, form)
    vision = MagmaVisionConfig(vision_backbone="small", **SMALL_TOWER)
    network, processor = build_magma(tmp_path / "llama", tmp_path / name, vision_config=vision)
    llama = LlamaForCausalLM.from_pretrained(tmp_path / "llama")
    state = network.state_dict()

    assert processor.ids.image == len(plain) + 1
    assert network.dtype == torch.bfloat16
    for key, tensor in llama.model.layers.state_dict().items():
        assert torch.equal(state[f"language_model.model.layers.{key}"], tensor)
    for key, tensor in source.vision_tower.trunk.stages.state_dict().items():
        assert torch.equal(state[f"vision_tower.clip_vision_model.trunk.stages.{key}"], tensor.to(torch.bfloat16))
    for matrix, old in (("model.embed_tokens", llama.model.embed_tokens), ("lm_head", llama.lm_head)):
        grown = state[f"language_model.{matrix}.weight"]
        assert torch.equal(grown[: len(plain)], old.weight)
        mean = old.weight.float().mean(0)
        torch.testing.assert_close(grown[len(plain) :].float(), mean.expand(5, -1), atol=1e-3, rtol=1e-2)
    assert not state["multi_modal_projector.row_seperator"].any()
    assert state["multi_modal_projector.proj.0.weight"].std() > 0

    save_magma(network, processor, tmp_path / "magma")
    again, _ = load_magma(tmp_path / "magma")
    assert all(torch.equal(again.state_dict()[key], tensor) for key, tensor in state.items())


def test_a_head_of_another_form_is_left_out(tmp_path: Path) -> None:
    """As LAION's ConvNeXt-Large has it: two layers instead of one."""
    llama_folder(tmp_path / "llama")
    clip_file(tmp_path / "clip.safetensors", "open_clip")
    stored = load_file(tmp_path / "clip.safetensors")
    del stored["visual.head.proj.weight"]
    stored |= {"visual.head.mlp.fc1.weight": torch.ones(5, 32), "visual.head.mlp.fc2.weight": torch.ones(4, 5)}
    save_file(stored, tmp_path / "clip.safetensors")
    vision = MagmaVisionConfig(vision_backbone="small", **SMALL_TOWER)
    network, _ = build_magma(tmp_path / "llama", tmp_path / "clip.safetensors", vision_config=vision)
    assert not network.get_parameter("vision_tower.clip_vision_model.head.proj.weight").any()


def test_a_magma_is_no_clip(tmp_path: Path, folder: Path) -> None:
    llama_folder(tmp_path / "llama")
    with pytest.raises(ValueError, match="which is no tensor of a CLIP's image half"):
        build_magma(tmp_path / "llama", folder)


def test_building_twice_gives_the_same_model(tmp_path: Path) -> None:
    llama_folder(tmp_path / "llama")
    clip_file(tmp_path / "clip.safetensors", "open_clip")
    vision = MagmaVisionConfig(vision_backbone="small", **SMALL_TOWER)
    states = [
        build_magma(tmp_path / "llama", tmp_path / "clip.safetensors", vision_config=vision, seed=seed)[0].state_dict()
        for seed in (0, 0, 1)
    ]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    drawn = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert drawn == {f"multi_modal_projector.proj.{layer}.{kind}" for layer in (0, 2) for kind in ("weight", "bias")}


def test_a_clip_of_another_size_is_named(tmp_path: Path) -> None:
    llama_folder(tmp_path / "llama")
    clip_file(tmp_path / "clip.safetensors", "open_clip")
    with pytest.raises(ValueError, match=r"the checkpoint does not fit the model: \d+ missing: vision_tower"):
        build_magma(tmp_path / "llama", tmp_path / "clip.safetensors")


def test_one_tensor_under_two_names_is_named(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {"model.norm.weight": torch.zeros(32)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=f"holds {NORM} under two names"):
        load_magma(folder)


def test_a_tensor_in_two_shards_is_named(tmp_path: Path) -> None:
    small_magma().save_pretrained(tmp_path, max_shard_size="50KB")
    first, second = sorted(tmp_path.glob("*.safetensors"))[:2]
    name, tensor = next(iter(load_file(first).items()))
    save_file(load_file(second) | {name: tensor}, second)
    with pytest.raises(ValueError, match=f"{name} is both in .*{first.name} and in .*{second.name}"):
        stored_tensors(tmp_path)


@pytest.mark.parametrize(
    "content",
    ["", "[]", '{"weight_map": ["a"]}', '{"weight_map": {"a": "../model.safetensors"}}', "{}"],
    ids=["empty", "a list", "no map", "a file outside", "no files"],
)
def test_a_damaged_index_is_named(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(ValueError, match=r"model\.safetensors\.index\.json"):
        load_magma(folder)


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ("{", r"config\.json can't be read"),
        ('{"model_type": "llama"}', r"config\.json is that of a 'llama', not of a Magma"),
        ('{"model_type": "magma"}', r"config\.json is that of a 'magma'"),
    ],
)
def test_a_config_that_is_none_of_a_magma_is_named(folder: Path, content: str, named: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=named):
        load_magma(folder)


def test_whole_numbers_are_no_weights(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {NORM: torch.ones(32, dtype=torch.int64)}, folder / "model.safetensors")
    with pytest.raises(ValueError, match=rf"{NORM} is torch\.int64 in .*model\.safetensors"):
        load_magma(folder)


def test_a_mixed_file_is_read_in_one_precision(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    save_file(tensors | {NORM: tensors[NORM].bfloat16()}, folder / "model.safetensors")
    network, _ = load_magma(folder)
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    assert torch.isfinite(logits(network)).all()


def test_a_pickle_that_holds_more_than_weights_is_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "was_run",)  # type: ignore[return-value]

    torch.save({"visual.trunk.stem.0.weight": Code()}, tmp_path / "clip.bin")
    with pytest.raises(ValueError, match=r"clip\.bin can't be read as weights"):
        stored_tensors(tmp_path / "clip.bin")
    assert not (tmp_path / "was_run").exists()


def test_a_pointer_of_git_lfs_is_named(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    with pytest.raises(ValueError, match="is a pointer of git LFS"):
        stored_tensors(tmp_path)


def test_saving_over_a_folder_leaves_nothing_of_what_it_held(tmp_path: Path) -> None:
    for before in ("50KB", "5GB"):
        small_magma(seed=1).save_pretrained(tmp_path, max_shard_size=before)
        save_magma(small_magma(), small_processor(), tmp_path)
        assert torch.equal(logits(load_magma(tmp_path)[0]), logits(small_magma()))
        assert torch.equal(logits(AutoModelForCausalLM.from_pretrained(tmp_path).eval()), logits(small_magma()))
    assert not list(tmp_path.glob(".saving*"))


def test_a_tokenizer_that_is_too_long_for_the_model_is_not_saved(tmp_path: Path) -> None:
    config = small_config()
    config.text_config.vocab_size = 560
    config.text_config.pad_token_id = None
    with pytest.raises(ValueError, match="has 570 entries, but the model has room for 560"):
        save_magma(MagmaForCausalLM(config), small_processor(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_how_to_generate_is_read_too(folder: Path) -> None:
    saved = json.loads((folder / "generation_config.json").read_text())
    (folder / "generation_config.json").write_text(json.dumps(saved | {"max_new_tokens": 77, "eos_token_id": [5, 6]}))
    network, _ = load_magma(folder)
    assert network.generation_config.max_new_tokens == 77
    assert network.generation_config.eos_token_id == [5, 6]


def test_what_is_never_used_is_frozen_whoever_loads_it(folder: Path) -> None:
    network = AutoModelForCausalLM.from_pretrained(folder)
    frozen = {name for name, parameter in network.named_parameters() if not parameter.requires_grad}
    assert frozen == set(UNUSED)


def test_a_folder_in_the_form_of_the_release_is_read(folder: Path, tmp_path: Path) -> None:
    """Settings of images in a file of their own, names of remote code, fields of older versions and of its training."""
    release = tmp_path / "release"
    release.mkdir()
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(folder / name, release / name)
    written = json.loads((folder / "config.json").read_text())
    text = written["text_config"]
    text |= {"rope_theta": text.pop("rope_parameters")["rope_theta"], "rope_scaling": None, "torch_dtype": "float32"}
    code = {"AutoConfig": "configuration_magma.MagmaConfig", "AutoModelForCausalLM": "modeling_magma.MagmaForCausalLM"}
    written |= {"auto_map": code, "tokenizer_vocab_size": 574, "mm_use_trace_start_end": False, "img_size": 64}
    written["vision_config"] |= {
        "vision_feature_layer": "clip_vis_dense",
        "mm_use_row_seperator": True,
        "use_cache": False,
    }
    (release / "config.json").write_text(json.dumps(written))
    images = {"anyres_strategy": "crop", "base_img_size": 64, "num_crops": 2, "do_convert_rgb": True}
    images |= {"auto_map": {"AutoProcessor": "processing_magma.MagmaProcessor"}, "processor_class": "MagmaProcessor"}
    images |= {"image_processor_type": "MagmaImageProcessor"}
    (release / "preprocessor_config.json").write_text(json.dumps(images))

    network, processor = load_magma(release)
    assert torch.equal(logits(network), logits(small_magma()))
    assert network.config.tokenizer_vocab_size == 560, "entries without added tokens, as action ids need it"
    assert processor.image_processor.num_crops == 2
    assert processor.max_length == 512
    assert type(AutoProcessor.from_pretrained(release)) is MagmaProcessor
    assert type(AutoModelForCausalLM.from_pretrained(release)) is MagmaForCausalLM
