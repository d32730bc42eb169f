/* The canonical form of messages and views: part of weakmachine.h. */

static void places_of(const struct state *n, unsigned *where)
{
	for (unsigned c = 0; c < LZ_CONTROLS; c++) {
		const struct control *k = &controls[c];

		where[c] = (unsigned)(n->w[k->word] >> k->shift & k->mask) + k->lo;
	}
}

/* What is ahead of an agent. */
static struct ahead ahead_of(unsigned agent, const unsigned *where)
{
	struct ahead all = {0};

	for (unsigned k = telling_begin[agent]; k < telling_begin[agent + 1]; k++) {
		const struct ahead *here = &aheads[telling[k].first + where[telling[k].control]];

		all.need |= here->need;
		all.exposed |= here->exposed;
		all.before_any |= here->before_any;
		all.firsts |= here->firsts;
	}
	return all;
}

/* What an agent has put off is ahead of it, too. */
static void with_deferred(const struct weak *w, unsigned agent, struct ahead *ahead)
{
	for (int k = 0; k < w->pending[agent]; k++) {
		unsigned location = w->deferred[agent][k].location;

		ahead->need |= location ? UINT64_C(1) << (location - 1) : BARRIER_AHEAD;
		if (!location)
			continue;
		ahead->exposed |= UINT64_C(1) << (location - 1);
		ahead->before_any |= UINT64_C(1) << (location - 1);
	}
}

/* Page-table walkers read no older than their CPUs may, and what they may read a CPU needs. */
static void walk(struct weak *w, const struct walker *walker, struct ahead *ahead)
{
	struct agent *a = &w->agents[walker->agent];

	join(&a->cur, &w->agents[walker->cpu].cur);
	join(&a->acq, &a->cur);
	ahead[walker->cpu].need |= ahead[walker->agent].need;
	ahead[walker->cpu].exposed |= ahead[walker->agent].exposed;
	ahead[walker->cpu].before_any |= ahead[walker->agent].before_any;
}

/* Some locations as a view: all ones where a bit is. */
static inline struct view spread(uint64_t locations)
{
	static const entries bits = {1, 2, 4, 8, 16, 32, 64, -128, 1, 2, 4, 8, 16, 32, 64, -128};
	const uint64_t each = UINT64_C(0x0101010101010101);
	struct view v;

	locations &= ~BARRIER_AHEAD;
	for (int k = 0; k < PARTS; k++, locations >>= 16) {
		halves copies = {(locations & 255) * each, (locations >> 8 & 255) * each};

		v.part[k] = ((entries)copies & bits) != 0;
	}
	return v;
}

/* What an agent does next, if it can do nothing else: a full barrier, or an atomic acquire of some location. */
static int next_of(unsigned agent, const unsigned *where)
{
	int kind = NEXT_NOTHING;

	for (unsigned k = following_begin[agent]; k < following_begin[agent + 1]; k++) {
		int here = nexts[following[k].first + where[following[k].control]];

		if (here == NEXT_NOTHING)
			continue;
		if (here == NEXT_OTHER || (kind != NEXT_NOTHING && kind != here))
			return NEXT_OTHER;
		kind = here;
	}
	return kind;
}

static void before_barrier(struct weak *w, unsigned agent)
{
	struct agent *a = &w->agents[agent];

	join(&a->acq, &w->barriers);
	a->cur = a->wmb = a->own = a->f = a->acq;
}

/*
 * What an agent will know in any case when it has made an atomic acquire, of all stores and of a lock's own.  Of a lock only
 * those messages can be taken that say that it is free; where none does, one comes that knows at least what the latest does.
 */
static void acquired(const struct weak *w, unsigned agent, int l, struct state *n, struct view *known, struct view *owned)
{
	const struct agent *a = &w->agents[agent];
	const struct piece *holder = &places[l].holder;
	bool first = true;

	*known = *owned = zero;
	for (int i = at(&a->cur, l) > at(&a->acq, l) ? at(&a->cur, l) : at(&a->acq, l); i < w->count[l]; i++) {
		struct view seen = *cf_of(w, l, i), stored = w->flags[l][i] & HAS_OWNV ? w->ownv[l][i] : zero;

		if (w->flags[l][i] & HAS_ATT)
			continue;
		if (places[l].lock && piece_value(piece_word((struct weak *)w, n, l, i, holder), holder))
			continue;
		join(&seen, fv_of(w, l, i));
		if (first) {
			*known = seen;
			*owned = stored;
		}
		meet(known, &seen);
		meet(owned, &stored);
		first = false;
	}
	if (first && places[l].lock) {
		*known = *cf_of(w, l, w->count[l] - 1);
		join(known, fv_of(w, l, w->count[l] - 1));
	}
}

/* Next an agent makes an atomic acquire: whatever message it takes, it will know so much. */
static void before_acquire(struct weak *w, unsigned agent, int l, struct state *n)
{
	struct agent *a = &w->agents[agent];
	struct view known, owned;

	acquired(w, agent, l, n, &known, &owned);
	join(&a->cur, &known);
	join(&a->acq, &known);
	if (places[l].lock)
		join(&a->wmb, &owned);
	if (places[l].lock && w->unlocked[agent]) {
		join(&a->cur, &a->ul_acq);
		join(&a->wmb, &a->ul_own);
	}
}

/* What is not accessed before a full barrier or a lock is read with what any of them will have told; true if that is new. */
static bool before_any(struct weak *w, unsigned agent, const struct ahead *ahead, struct state *n)
{
	uint64_t later = ahead->need & ~ahead->before_any & ~BARRIER_AHEAD;
	struct agent *a = &w->agents[agent];
	struct view least = a->acq, wanted = spread(later), cur = a->cur;
	bool some = ahead->firsts & BARRIER_AHEAD;

	if (!later || !ahead->firsts)
		return false;
	join(&least, &w->barriers);
	for (uint64_t left = ahead->firsts & ~BARRIER_AHEAD; left; left &= left - 1) {
		struct view known, owned;

		acquired(w, agent, __builtin_ctzll(left), n, &known, &owned);
		if (w->unlocked[agent])
			join(&known, &a->ul_acq);
		if (!some)
			least = known;
		meet(&least, &known);
		some = true;
	}
	for (int k = 0; k < PARTS; k++)
		a->cur.part[k] = most(a->cur.part[k], least.part[k] & wanted.part[k]);
	return memcmp(&cur, &a->cur, sizeof cur) != 0;
}

/* What an agent does not read before a full barrier it reads with all that the barrier will have told it. */
static void promote(struct weak *w, unsigned agent, const struct ahead *ahead)
{
	struct agent *a = &w->agents[agent];
	struct view later, known = a->acq;

	if (!(ahead->need & ~ahead->exposed & ~BARRIER_AHEAD))
		return;
	later = spread(ahead->need & ~ahead->exposed);
	join(&known, &w->barriers);
	for (int k = 0; k < PARTS; k++)
		a->cur.part[k] = most(a->cur.part[k], known.part[k] & later.part[k]);
}

/*
 * Drop the messages below the lowest that somebody may read, and all but the last few.  `cut`: one of those could be read.
 * True if some were dropped that did not have to be read, so that what is left to take may know more.
 */
static bool drop(struct weak *w, const struct view *need, bool *cut)
{
	struct view low = zero;
	bool chosen = false;

	for (int l = 0; l < LZ_LOCATIONS; l++) {
		int count = w->count[l], lowest = count - 1;

		if (count == 1)
			continue;
		for (int a = 0; a < LZ_AGENTS; a++)
			if (at(&need[a], l) && at(&w->agents[a].cur, l) < lowest)
				lowest = at(&w->agents[a].cur, l);
		if (newest >> l & 1) {
			lowest = count - 1;
			chosen = true;
		} else if (count - lowest > LZ_HISTORY) {
			lowest = count - LZ_HISTORY;
			chosen = *cut = true;
		}
		if (!lowest)
			continue;
		*entry(&low, l) = (int8_t)lowest;
		w->count[l] = (uint8_t)(count - lowest);
		for (int i = 0; i < w->count[l]; i++)
			copy_message(w, i, w, l, i + lowest);
	}
	if (any(&low)) {
		struct view *all[MOST_VIEWS];
		int views = views_of(w, all);

		for (int v = 0; v < views; v++)
			for (int k = 0; k < PARTS; k++)
				all[v]->part[k] = most(all[v]->part[k] - low.part[k], zero.part[k]);
	}
	return chosen;
}

static void beyond(struct view *v, const struct view *known)
{
	for (int k = 0; k < PARTS; k++)
		v->part[k] &= v->part[k] > known->part[k];
}

/* Views say nothing of what nobody accesses any more; agents that are over have none, and those that only read have one. */
static void clear(struct weak *w, const struct view *need, const struct ahead *ahead)
{
	const uint64_t everything = (UINT64_C(1) << LZ_LOCATIONS) - 1;
	uint64_t needed = 0;

	for (int a = 0; a < LZ_AGENTS; a++)
		needed |= ahead[a].need;
	if (everything & ~needed) {
		struct view keep = spread(needed), *all[MOST_VIEWS];
		int views = views_of(w, all);

		for (int v = 0; v < views; v++)
			for (int k = 0; k < PARTS; k++)
				all[v]->part[k] &= keep.part[k];
	}
	for (int a = 0; a < LZ_AGENTS; a++) {
		struct agent *agent = &w->agents[a];

		if (!ahead[a].need || silent >> a & 1) {
			struct view cur = agent->cur;

			for (int k = 0; k < PARTS; k++)
				cur.part[k] &= need[a].part[k];
			memset(agent, 0, sizeof *agent);
			agent->cur = agent->acq = cur;
			w->unlocked[a] = false;
			continue;
		}
		for (int k = 0; k < PARTS; k++)
			agent->cur.part[k] =
				(agent->cur.part[k] & need[a].part[k]) | (agent->acq.part[k] & ~need[a].part[k]);
		if (!w->unlocked[a])
			continue;
		/* what is known already makes no difference at a lock */
		beyond(&agent->ul_acq, &agent->cur);
		beyond(&agent->ul_own, &agent->wmb);
		w->unlocked[a] = any(&agent->ul_acq) || any(&agent->ul_own);
	}
}

/* The view of a register says nothing that its users know already or do not need. */
static void keep_useful(struct weak *w, struct view *v, uint64_t users, const struct view *need)
{
	struct view known = zero, wanted = zero;
	bool first = true;

	for (uint64_t left = users; left; left &= left - 1) {
		int a = __builtin_ctzll(left);

		if (first)
			known = w->agents[a].cur;
		meet(&known, &w->agents[a].cur);
		for (int k = 0; k < PARTS; k++)
			wanted.part[k] |= need[a].part[k];
		first = false;
	}
	for (int k = 0; k < PARTS; k++)
		v->part[k] &= (v->part[k] > known.part[k]) & wanted.part[k];
}

/* So do the dependencies that go through memory. */
static void tidy_registers(struct weak *w, const struct view *need)
{
#if LZ_REGISTERS
	for (int r = 0; r < LZ_REGISTERS; r++)
		if (any(&w->registers[r]))
			keep_useful(w, &w->registers[r], users[r], need);
	for (int l = 0; l < LZ_LOCATIONS; l++)
		for (int i = 0; i < w->count[l]; i++) {
			int a = w->stored_by[l][i];

			if (!(w->flags[l][i] & HAS_DEP))
				continue;
			keep_useful(w, &w->dep[l][i], UINT64_C(1) << a, need);
			if (!at(&need[a], l) || !any(&w->dep[l][i]))
				w->flags[l][i] &= (uint8_t)~HAS_DEP;
		}
#else
	(void)w, (void)need;
#endif
}

/* Messages say nothing that all who could read them know already. */
static void forget_known(struct weak *w, const struct view *need)
{
	for (int l = 0; l < LZ_LOCATIONS; l++) {
		struct view known = zero, reached = zero, stored = zero;
		bool read = false;

		if (quiet(w, l))
			continue;
		for (int a = 0; a < LZ_AGENTS; a++) {
			const struct agent *agent = &w->agents[a];

			if (!at(&need[a], l) || silent >> a & 1)
				continue;
			if (!read) {
				known = agent->cur;
				reached = agent->f;
				stored = agent->wmb;
			}
			meet(&known, &agent->cur);
			meet(&known, &agent->acq); /* a promoted cur is no knowledge yet */
			meet(&reached, &agent->f);
			meet(&stored, &agent->wmb);
			read = true;
		}
		meet(&reached, &known);
		for (int i = 0; i < w->count[l]; i++) {
			uint8_t *flags = &w->flags[l][i];

			if (*flags & HAS_CF) {
				beyond(&w->cf[l][i], &known);
				if (!read || !any(&w->cf[l][i]))
					*flags &= (uint8_t)~HAS_CF;
			}
			if (*flags & HAS_FV) {
				beyond(&w->fv[l][i], &reached);
				if (!read || !any(&w->fv[l][i]))
					*flags &= (uint8_t)~HAS_FV;
			}
			if (*flags & HAS_OWNV) {
				beyond(&w->ownv[l][i], &stored);
				if (!read || !any(&w->ownv[l][i]))
					*flags &= (uint8_t)~HAS_OWNV;
			}
		}
	}
}

/* The canonical form of what a step has led to; true if something had to go that somebody could have read. */
static bool tidied(struct weak *w, struct state *n)
{
	unsigned where[LZ_CONTROLS];
	struct ahead ahead[LZ_AGENTS];
	struct view need[LZ_AGENTS];
	int next[LZ_AGENTS];
	bool cut = false, again;

	places_of(n, where);
	for (unsigned a = 0; a < LZ_AGENTS; a++)
		ahead[a] = ahead_of(a, where);
	for (unsigned k = 0; k < walker_count; k++)
		walk(w, &walkers[k], ahead);
	for (unsigned a = 0; a < LZ_AGENTS; a++) {
		next[a] = w->pending[a] ? NEXT_OTHER : next_of(a, where);
		with_deferred(w, a, &ahead[a]);
		need[a] = spread(ahead[a].need);
	}
	do {
		again = false;
		for (unsigned a = 0; a < LZ_AGENTS; a++) {
			if (next[a] == NEXT_BARRIER)
				before_barrier(w, a);
			else if (next[a] >= 0)
				before_acquire(w, a, next[a], n);
			promote(w, a, &ahead[a]);
			again |= before_any(w, a, &ahead[a], n);
		}
		again |= drop(w, need, &cut); /* nothing else here leads to more by itself */
		clear(w, need, ahead);
		tidy_registers(w, need);
		forget_known(w, need);
	} while (again);
	return cut;
}
