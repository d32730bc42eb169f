/* Generations, of which messages hold some too: part of weakmachine.h; see checker/core/memory/generations.py. */

#if LZ_GENERATIONS

/* Numbers from 1, in the same order, with the same neighbours and no gap larger than 2. */
static bool squeezed(const bool *there, uint8_t *to)
{
	int next = 1, last = -1;
	bool changed = false;

	for (int k = 0; k < LZ_LARGEST + 3; k++) {
		if (!there[k])
			continue;
		next = last < 0 ? 1 : next + (k - last > 2 ? 2 : k - last);
		last = k;
		to[k] = (uint8_t)next;
		changed |= next != k - 1;
	}
	return changed;
}

/* A generation in a message: its counter, or -1. */
static int counter_of(struct weak *w, struct state *n, const struct generation *g, int i)
{
	int of;

	if (g->head >= 0)
		return g->family + g->head;
	if (!g->has_of)
		return piece_value(piece_word(w, n, g->location, i, &g->number), &g->number) ? g->family : -1;
	of = piece_value(piece_word(w, n, g->location, i, &g->of), &g->of);
	return of < 0 ? -1 : g->family + of;
}

/* Number the generations anew, of all counters: those of messages are among them. */
static void renumber(struct weak *w, struct state *n)
{
	static const int none = 1; /* number 0 is at 1 in the tables: -1 is a number too */
	bool there[LZ_COUNTERS][LZ_LARGEST + 3] = {{false}};
	uint8_t to[LZ_COUNTERS][LZ_LARGEST + 3];
	bool changed = false;

	for (int k = 0; k < (int)generation_count; k++) {
		const struct generation *g = &generations[k];

		for (int i = 0; i < (g->location < 0 ? 1 : w->count[g->location]); i++) {
			int counter = counter_of(w, n, g, i);

			if (counter >= 0)
				there[counter][piece_value(piece_word(w, n, g->location, i, &g->number), &g->number) + none] =
					true;
		}
	}
	for (int c = 0; c < LZ_COUNTERS; c++)
		changed |= squeezed(there[c], to[c]);
	if (!changed)
		return;
	for (int k = 0; k < (int)generation_count; k++) {
		const struct generation *g = &generations[k];

		for (int i = 0; i < (g->location < 0 ? 1 : w->count[g->location]); i++) {
			uint64_t *word = piece_word(w, n, g->location, i, &g->number);
			int counter = counter_of(w, n, g, i);

			if (counter >= 0)
				set_piece(word, &g->number, to[counter][piece_value(word, &g->number) + none]);
		}
	}
}

/* Objects are gone: in messages, generations of their counters are nobody's. */
static void forget_gone(struct weak *w, const struct state *from, struct state *n)
{
	for (int o = 0; o < (int)owner_count; o++) {
		const struct owner *owner = &owners[o];

		if (!piece_value(&from->w[owner->live.word], &owner->live) || piece_value(&n->w[owner->live.word], &owner->live))
			continue;
		for (int k = 0; k < (int)generation_count; k++) {
			const struct generation *g = &generations[k];

			if (g->location < 0 || !g->has_of || !(owner->counters >> g->number_of_family & 1))
				continue;
			for (int i = 0; i < w->count[g->location]; i++) {
				uint64_t *of = piece_word(w, n, g->location, i, &g->of);

				if (piece_value(of, &g->of) != owner->element)
					continue;
				set_piece(of, &g->of, -1);
				set_piece(piece_word(w, n, g->location, i, &g->number), &g->number, -1);
			}
		}
	}
}

#else

static void renumber(struct weak *w, struct state *n)
{
	(void)w, (void)n;
}

static void forget_gone(struct weak *w, const struct state *from, struct state *n)
{
	(void)w, (void)from, (void)n;
}

#endif
