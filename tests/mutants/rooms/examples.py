"""Guards of `examples`."""

from tests.mutants.row import Mutant

FLOODS, THRESHOLDS = (f"tests/examples/test_{name}.py" for name in ("floods", "flood_thresholds"))

ROWS = (
    Mutant(
        "a box without a width is no outline around the Earth",
        "curation/examples/google_s2_items.py",
        "        and (east - west) % 360\n",
        "",
        ("tests/examples/test_google_s2_items.py::test_rows_that_make_no_item_are_counted",),
    ),
    Mutant(
        "pixels without a label do not count",
        "curation/examples/floods.py",
        "(n * truth + said)[known].bincount",
        "(n * (truth % n) + said).bincount",
        (f"{FLOODS}::test_unknown_pixels_do_not_count_whatever_is_said_of_them",),
    ),
    Mutant(
        "pixels without a label do not teach",
        "curation/examples/floods.py",
        "functional.cross_entropy(scores, labels, ignore_index=UNKNOWN,",
        "functional.cross_entropy(scores, labels % UNKNOWN,",
        (f"{FLOODS}::test_the_loss_is_the_mean_over_known_pixels_and_nothing_where_none_is",),
    ),
    Mutant(
        "a network that is to see the images before alone does not see the one after",
        "curation/examples/floods.py",
        "for k, name in enumerate(IMAGES) if name in INPUTS[inputs]]",
        "for k, name in enumerate(IMAGES)]",
        (f"{FLOODS}::test_a_network_sees_its_images_and_no_other",),
    ),
    Mutant(
        "a flood counts once in the mean over folds",
        "curation/examples/floods.py",
        "            if flood in floods:\n",
        "            if False:\n",
        (f"{FLOODS}::test_a_flood_that_two_folds_hold_out_is_refused",),
    ),
    Mutant(
        "a training does not go on from the state of another",
        "curation/examples/floods.py",
        'if saved["made_by"] != self.made_by:',
        "if False:",
        (f"{FLOODS}::test_a_checkpoint_of_another_training_is_refused",),
    ),
    Mutant(
        "val without a flood scores nothing",
        "curation/examples/floods.py",
        "if not next(iter(of.values()))[FLOOD].sum():",
        "if False:",
        (f"{FLOODS}::test_val_without_flood_is_refused_before_anything_is_trained",),
    ),
    Mutant(
        "thresholds and statistics are of train",
        "curation/examples/flood_thresholds.py",
        'footprints(args, folder, "train")',
        'footprints(args, folder, "val")',
        (f"{THRESHOLDS}::test_what_val_and_unknown_pixels_hold_changes_nothing_that_is_fitted",),
    ),
    Mutant(
        "statistics are of pixels with a label",
        "curation/examples/flood_thresholds.py",
        "use = known & ~x.isnan()",
        "use = ~x.isnan()",
        (f"{THRESHOLDS}::test_statistics_and_shares_are_of_known_pixels_of_train",),
    ),
    Mutant(
        "what fills up the last batch is not scored twice",
        "curation/examples/flood_thresholds.py",
        'real = ~batch["is_pad"]',
        'real = batch["is_pad"] >= 0',
        (f"{THRESHOLDS}::test_footprints_are_what_was_packed_image_by_image_without_what_fills_up_the_last_batch",),
    ),
    Mutant(
        "pixels that an image lacks are unknown",
        "curation/examples/flood_thresholds.py",
        "labels = labels.masked_fill(power.isnan().any(2).any(1), UNKNOWN)",
        "labels = labels.clone()",
        (f"{THRESHOLDS}::test_pixels_that_an_image_lacks_are_unknown_and_nan",),
    ),
    Mutant(
        "no flood is on both sides",
        "curation/examples/flood_thresholds.py",
        "if both := found[0] & found[1]:",
        "if both := set[str]():",
        (f"{THRESHOLDS}::test_a_flood_on_both_sides_is_refused",),
    ),
    Mutant(
        "a code that no class has is no label",
        "curation/examples/flood_thresholds.py",
        "if labels.max() > UNKNOWN:",
        "if False:",
        (f"{THRESHOLDS}::test_a_code_that_no_class_has_is_refused",),
    ),
    Mutant(
        "what cannot be scored is told before training",
        "curation/examples/floods.py",
        "        scored(args, folder, everywhere)",
        "        pass",
        ("tests/examples/test_floods.py::test_val_without_flood_is_refused_before_anything_is_trained",),
    ),
)
