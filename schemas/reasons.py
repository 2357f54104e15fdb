"""Every reason for which an input is not kept, and what each means to a person.

A filter reason belongs to `filtered` rows; those of regions to candidates for marks that stay without one; the last
group to `quarantined` rows that no exception explains.
"""

FILTERED = {
    "too_short": "The shot is shorter than a clip may be, in seconds (clips.min_length_s).",
    "too_small": "The shorter side of the picture, in pixels, is below decode.min_side_px (video: less can't be "
    "tracked) or picture.min_side_px.",
    "too_few_points": "Too few points could be followed: into some frame (step camera), or through most of the clip "
    "(step motion, motion.min_usable_points), or none on the frame to be marked (step marks).",
    "camera_fit": "No homography explains the camera's motion: the share of visible points that agree with it, in the "
    "worst frame, is below camera.min_inlier_ratio (0: it is no view of a camera at all), or the background of one "
    "stretch of frames is none in the next (the share that is, against a half), so the traces could not be trusted.",
    "unsteady": "Once the camera's motion is removed, what stands still seems to move nearly as far as what moves must "
    "(in diagonals): too little texture, or a scene with too much depth for a homography.",
    "parallax": "A larger share of the points than motion.max_parallax moves as things do that stand still nearer or "
    "farther than the background while the camera travels; nobody can tell which of them move.",
    "text_mismatch": "No frame of the clip that was looked at shows what the narration says: the best cosine of CLIP's "
    "picture and text is below gate.min_similarity.",
    "no_image": "The dataset names no picture for this row, or the file that it names is not there.",
    "too_large": "The picture has more pixels than picture.max_pixels and was not decoded.",
    "too_few_regions": "Fewer regions can be marked than marks.least.",
    "illegible": "The label of some mark is covered, too small or too pale to be read (marks.min_legibility), or too "
    "little of its box's outline is left by labels to be seen (value: the share that is).",
    "nothing_asked": "There is nothing to ask: no region has words, the dataset asks for nothing.",
    "duplicate_image": "A record with a smaller key shows the same picture (value: bits of the hash that differ); "
    "`error` names it.",
    "duplicate_id": "Another record with the same id came first; ids must be unique within a dataset.",
}

REGIONS = {
    "zero_area": "Its box has (nearly) no width or no height.",
    "off_screen": "It lies outside the picture, or nearly so.",
    "hidden": "It is there but not shown: transparent, scrolled away, said to be invisible.",
    "covered": "Something else is drawn over its middle.",
    "container": "It holds other regions and has no function or words of its own.",
    "same_box": "Another region with (nearly) the same box says more.",
    "blank": "Nothing can be seen there: it hardly differs from plain paper.",
    "not_chosen": "More regions could be marked than marks.most.",
}

QUARANTINED = {
    "crashed": "The process that worked on this died twice at the same place.",
    "timeout": "The work made no progress for longer than run.deadline_s and was stopped. A large network on a CPU may "
    "take longer: raise it.",
    "error": "The input could not be read or processed; `error` says what happened.",
}

MEANING = FILTERED | REGIONS | QUARANTINED
