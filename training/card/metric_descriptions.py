"""The description of each metric, for the cards that list it."""

from collections.abc import Mapping

from training.evaluate.point_evaluation import FAR_OFF_CURVE, OFF_CURVE
from training.metrics.image_metrics import NEIGHBOURS
from training.metrics.nearest_neighbours import REAL_SHARE
from training.metrics.point_metrics import DIRECTIONS
from training.metrics.prompt_adherence import FOLLOWED

DESCRIPTIONS: Mapping[str, str] = {
    "compiled": "networks were compiled, which changes the last bits of samples",
    "test_accuracy": "share of held-out images that are classified correctly",
    "label_accuracy": "share of samples with the requested label, by the judge for images, by the nearest real point "
    "for points",
    "label_accuracy_of_real": "share of held-out images that the judge reads right",
    "compared": "number of samples, and of real images, behind the metrics below",
    "frechet": "Fréchet distance between samples and training images, on the judge's features",
    "frechet_floor": "the same between as many real test images and the training images",
    "frechet_ratio": "frechet over its floor: at 1 samples are as near as real images",
    "precision": f"share of samples that lie among real data: images by {NEIGHBOURS} nearest neighbours; points if "
    f"they are no farther from real points than {REAL_SHARE:.0%} of other real points",
    "recall": "share of real data that lie among the samples, likewise",
    "off_curve": f"share of samples farther than {OFF_CURVE:g} from the curve of the data",
    "far_off_curve": f"share of samples farther than {FAR_OFF_CURVE:g} from it",
    "farthest_from_curve": "distance of the farthest sample from it",
    "sliced_wasserstein": f"mean 1-Wasserstein distance over {DIRECTIONS} projections, samples against real points",
    "sliced_wasserstein_standard_error": "standard error of that mean over the runs",
    "sliced_wasserstein_floor": "the same distance between two sets of real points of that size",
    "sliced_wasserstein_ratio": "the distance over its floor: at 1 samples are as near as real points",
    "within_labels": "sliced Wasserstein distance between samples and real points of one label, a mean over the "
    "labels; differences in the labels' shares do not count",
    "within_labels_floor": "the same between two sets of real points",
    "within_labels_ratio": "the distance over its floor",
    "spread": "root mean square distance of samples from their label's mean, over that of real points",
    "mmd": "maximum mean discrepancy, Gaussian kernel, bandwidth by the median distance",
    "mmd_null": "95th percentile of the MMD under permutations: samples of one distribution stay below it",
    "prior": "bits per dimension of the prior term L_T",
    "decoder": "bits per dimension of the last step L_0",
    "bits_learned": "bits per dimension of held-out data with the learned variance (variational bound, unconditional)",
    "bits_fixed_small": "bits per dimension of held-out data with the variance β̃ (variational bound, unconditional)",
    "bits_fixed_large": "bits per dimension of held-out data with the variance β (variational bound, unconditional)",
    "standard_error_learned": "standard error over the rows of the bits with the learned variance",
    "standard_error_fixed_small": "standard error over the rows of the bits with β̃",
    "standard_error_fixed_large": "standard error over the rows of the bits with β",
    "digit": "share of held-out prompts whose digit the judge reads in the sample",
    "thickness": "share of samples whose stroke thickness is in the requested third of that digit's real images",
    "slant": "the same for the slant",
    "thickness and slant": "share of samples with both as requested",
    "all three": "share of samples with the digit, thickness and slant as requested",
    "among real": f"share of samples that lie among as many real images ({NEIGHBOURS} nearest neighbours)",
    FOLLOWED: "share of samples with all three as requested that also lie among real images",
    "all three, new combinations": "share with all three for prompts whose combination no training caption has",
    "caption recall at 1": "share of held-out images whose nearest held-out caption is true; phrasings are new if "
    "there are any",
    "image recall at 1": "share of these captions that are true of their nearest image",
    "agreement": "F1 of the sample's edges or strokes with the hint's, within one pixel",
    "sampler_alone": "sampler for hints without a label",
    "steps_alone": "steps for hints without a label",
    "variance_alone": "variance for hints without a label",
    "guidance_scale_alone": "guidance scale of the hint itself, without a label",
    "agreement_ceiling": "agreement of the image that the hint was made from",
    "agreement_floor": "agreement of the sample with the hint of another image of its class",
    "agreement_alone": "agreement for hints without a label",
    "label_accuracy_alone": "share of samples with the class of the hint's source, by the judge, without a label",
    "drawings_alone": "label accuracy for drawings by hand, which are not from the data, without a label",
    "drawings": "label accuracy for drawings by hand, which are not from the data",
    "energy": "energy distance between samples and real data; for images between their pixels",
    "energy_floor": "the same between two sets of real data",
    "two_sample_accuracy": "cross-validated accuracy of a small network that separates samples from real points: "
    "0.5 is chance",
    "tstr": "train on synthetic, test on real: balanced accuracy on held-out rows of gradient-boosted trees "
    "that were trained on samples",
    "trtr": "the same of trees that were trained on as many real rows: what samples are to come near to",
    "prompt_recall": "share of samples whose own prompt is the nearest of all different prompts, by CLIP",
    "prompt_recall_of_real": "the same for held-out images and their own captions",
    "prompt_recall_by_chance": "the same for a random guess",
    "nearest_training": "median distance of samples to the nearest training row (root mean square, in the network's "
    "range), and its first percentile",
    "nearest_training_of_real": "the same for held-out rows: samples that are much nearer are copies",
    "dcr": "distance to closest record: of samples to the nearest training row (root mean square, in the network's "
    "range), the median and the first percentile",
    "dcr_of_real": "the same for held-out rows: samples that are much nearer are copies",
    "nearer_than_real": "share of samples that are nearer to a training row than 99 % of the held-out rows",
    "nearer_than_real_by_chance": "the share that a model that memorised nothing scores: about 0.01, and more with "
    "few held-out rows",
    "equal_to_training": "share of samples that equal a training row: in data of few values real rows do, too",
    "equal_to_training_of_real": "the same for held-out rows: a model that copies scores much more",
}
