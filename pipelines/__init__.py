"""Jobs: the recipes, the plan, the Beam graph, shard writing and finishing; `inspect` looks at the result."""
