/* Which objects can still be freed: backwards over the states, with what the search has kept and what it computes again. */
#include "engine.h"

#include <stdlib.h>

static bool make_room(struct search *q, uint64_t *full)
{
	const size_t least = 1 << 20;

	*full = model_leaks == 64 ? UINT64_MAX : ((uint64_t)1 << model_leaks) - 1;
	for (unsigned i = 0; i < q->threads; i++) {
		size_t count = atomic_load(&q->arenas[i].count) + 1;
		size_t able = count * able_bytes(), next = q->edges ? 0 : count * sizeof(state_number);

		if (!region_reserve(&q->able[i], able + least) || q->able[i].room < able)
			return false;
		if (next && (!region_reserve(&q->next[i], next + least) || q->next[i].room < next))
			return false;
	}
	return true;
}

/* Several threads may be at work.  Objects are only ever added, and for a state by one thread only. */
static uint64_t get_able(const struct search *q, unsigned arena, uint32_t place)
{
	if (model_leaks > 8)
		return atomic_load_explicit((_Atomic uint64_t *)(void *)q->able[arena].at + place, memory_order_relaxed);
	return atomic_load_explicit((_Atomic unsigned char *)q->able[arena].at + place, memory_order_relaxed);
}

static void set_able(const struct search *q, unsigned arena, uint32_t place, uint64_t objects)
{
	if (model_leaks > 8)
		atomic_store_explicit((_Atomic uint64_t *)(void *)q->able[arena].at + place, objects, memory_order_relaxed);
	else
		atomic_store_explicit((_Atomic unsigned char *)q->able[arena].at + place, (unsigned char)objects,
				      memory_order_relaxed);
}

/* A successor is kept as the representative of its class, in which objects may have other names. */
static inline uint64_t renamed(uint64_t objects, unsigned turn)
{
	return turn ? model_turned(objects, turn) : objects;
}

/* One walk over a worker's states, the last first; true if something was added. */
static bool sweep_kept(const struct search *q, const struct worker *w, uint64_t full, bool first)
{
	const unsigned bits = q->thread_bits, low = (1u << bits) - 1;
	const struct stretch *stretch = (const struct stretch *)(const void *)(w->stretches.at + w->stretches.used);
	const struct stretch *begin = (const struct stretch *)(const void *)w->stretches.at;
	const uint16_t *degree = (const uint16_t *)(const void *)(w->degrees.at + w->degrees.used);
	const state_number *target = (const state_number *)(const void *)(w->targets.at + w->targets.used);
	const uint8_t *turn = (const uint8_t *)(const void *)(w->turns.at + w->turns.used);
	bool changed = false;

	while (stretch-- != begin) {
		const struct state *states = (const struct state *)(const void *)q->arenas[stretch->arena].states.at;

		for (uint32_t i = stretch->first + stretch->count; i-- != stretch->first;) {
			unsigned count = *--degree & (LZ_CUT - 1);
			uint64_t old = 0, able;

			target -= count;
			turn -= model_turns ? count : 0;
			if (!first)
				old = get_able(q, stretch->arena, i);
			if (old == full)
				continue;
			able = first ? *degree & LZ_CUT ? full : full & ~model_live(&states[i]) : old;
			for (unsigned k = 0; k < count && able != full; k++)
				able |= renamed(get_able(q, target[k] & low, target[k] >> bits), model_turns ? turn[k] : 0);
			if (able != old) {
				set_able(q, stretch->arena, i, able);
				changed = true;
			}
		}
	}
	return changed;
}

/* What is known of the successor that told something of a state may be more by now. */
static bool follow(const struct search *q, unsigned arena, uint32_t place)
{
	state_number next = ((const state_number *)(const void *)q->next[arena].at)[place];
	uint64_t old = get_able(q, arena, place), able;

	if (!next)
		return false;
	able = old | get_able(q, (next - 1) & ((1u << q->thread_bits) - 1), (next - 1) >> q->thread_bits);
	if (able == old)
		return false;
	set_able(q, arena, place, able);
	return true;
}

/* Successors of a sweep: what can be freed from them can be freed from where they come from. */
void leak_flush(struct search *q, struct worker *w)
{
	struct sink *x = &w->sink;
	const unsigned bits = q->thread_bits, low = (1u << bits) - 1;

	for (unsigned i = 0; i < x->pending; i++) {
		uint64_t entry = x->slots[x->hashes[i] >> x->shift];

		if (entry)
			__builtin_prefetch(state_at(q, (state_number)entry - 1));
	}
	for (unsigned i = 0; i < x->pending; i++) {
		state_number owner = x->owners[i], target = state_find(q, &x->batch[i], x->hashes[i]);
		uint64_t old = get_able(q, owner & low, owner >> bits);
		uint64_t able = old | renamed(get_able(q, target & low, target >> bits), x->turns[i]);

		if (able != old) {
			set_able(q, owner & low, owner >> bits, able);
			if (!x->turns[i]) /* only these are followed */
				((state_number *)(void *)q->next[owner & low].at)[owner >> bits] = target + 1;
			w->more = true;
		}
	}
	x->pending = 0;
}

/* One walk over the states that a worker found, the last first, computing successors; true if something was added. */
static bool sweep_computed(struct search *q, struct worker *w, uint64_t full, bool first)
{
	struct sink *x = &w->sink;
	const struct state *states = (const struct state *)(const void *)w->arena->states.at;

	w->more = false;
	for (uint32_t i = atomic_load(&w->arena->count); i-- != 0;) {
		if (first)
			set_able(q, w->id, i, full & ~model_live(&states[i]));
		if (get_able(q, w->id, i) == full)
			continue;
		x->source = &states[i];
		x->owner = i << q->thread_bits | w->id;
		x->faults = x->enabled = 0;
		if (!(model_state_properties && model_broken(&states[i])))
			model_expand(&states[i], x);
		else
			x->faults = 1;
		if (x->faults) {
			/* the search did not go on from here, so anything might follow */
			set_able(q, w->id, i, full);
			w->more = true;
		}
	}
	leak_flush(q, w);
	return w->more;
}

static bool sweep_followed(struct search *q, struct worker *w)
{
	bool changed = false;

	for (uint32_t i = atomic_load(&w->arena->count); i-- != 0;)
		changed |= follow(q, w->id, i);
	return changed;
}

static uint64_t properties_of(uint64_t objects)
{
	uint64_t properties = 0;

	for (; objects; objects &= objects - 1)
		properties |= (uint64_t)1 << model_leak_property[__builtin_ctzll(objects)];
	return properties;
}

bool leak_doomed(const struct search *q, state_number number, unsigned property)
{
	uint64_t full = model_leaks == 64 ? UINT64_MAX : ((uint64_t)1 << model_leaks) - 1;
	unsigned arena = number & ((1u << q->thread_bits) - 1);

	return properties_of(full & ~get_able(q, arena, number >> q->thread_bits)) >> property & 1;
}

/* The level of a place in an arena. */
static uint32_t level_of(const struct arena *a, uint32_t place)
{
	const uint32_t *levels = (const uint32_t *)(const void *)a->levels.at;
	uint32_t low = 0, high = (uint32_t)a->levels.used;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (levels[middle] <= place)
			low = middle;
		else
			high = middle;
	}
	return low;
}

struct share {
	struct search *q;
	struct worker *w;
	uint64_t full;
	bool first, followed, changed;
};

static void *sweep_share(void *argument)
{
	struct share *share = argument;

	if (share->q->edges)
		share->changed = sweep_kept(share->q, share->w, share->full, share->first);
	else if (share->followed)
		share->changed = sweep_followed(share->q, share->w);
	else
		share->changed = sweep_computed(share->q, share->w, share->full, share->first);
	return NULL;
}

/* Each worker's states, at the same time where there are threads; true if something was added. */
static bool sweep_all(struct search *q, uint64_t full, bool first, bool followed)
{
	struct share shares[LZ_MAX_THREADS];
	pthread_t threads[LZ_MAX_THREADS];
	bool started[LZ_MAX_THREADS] = {false}, changed = false;

	for (unsigned i = 0; i < q->threads; i++) {
		shares[i] = (struct share){.q = q, .w = &q->workers[i], .full = full, .first = first, .followed = followed};
		started[i] = i && !pthread_create(&threads[i], NULL, sweep_share, &shares[i]);
	}
	for (unsigned i = 0; i < q->threads; i++) {
		if (started[i])
			pthread_join(threads[i], NULL);
		else
			sweep_share(&shares[i]);
		changed |= shares[i].changed;
	}
	return changed;
}

/* All that can still be freed, by sweeps until nothing is added. */
static void sweep_out(struct search *q, uint64_t full)
{
	uint64_t *counts[LZ_MAX_THREADS];

	if (q->edges) {
		for (bool first = true; sweep_all(q, full, first, false);)
			first = false;
		return;
	}
	/* what is computed again does not count */
	for (unsigned i = 0; i < q->threads; i++) {
		counts[i] = q->workers[i].sink.fired;
		q->workers[i].sink.fired = wanted(calloc(model_rules + 1, sizeof *counts[i]));
		q->workers[i].sink.sweep = true;
	}
	for (bool first = true; sweep_all(q, full, first, false); first = false)
		while (sweep_all(q, full, false, true))
			;
	for (unsigned i = 0; i < q->threads; i++) {
		free(q->workers[i].sink.fired);
		q->workers[i].sink.fired = counts[i];
		q->workers[i].sink.sweep = false;
	}
}

/* After a complete search: note the first states in which a live object can never be freed again. */
void leak_find(struct search *q)
{
	uint64_t full, found = 0;
	uint32_t level[LZ_PROPERTIES];

	if (!make_room(q, &full)) {
		q->leaks_unknown = true;
		return;
	}
	sweep_out(q, full);
	for (unsigned a = 0; a < q->threads; a++) {
		uint32_t count = atomic_load(&q->arenas[a].count);

		for (uint32_t i = 0; i < count; i++) {
			uint64_t doomed = full & ~get_able(q, a, i);
			uint32_t here;

			if (!doomed)
				continue;
			here = level_of(&q->arenas[a], i);
			for (uint64_t p = properties_of(doomed); p; p &= p - 1) {
				unsigned property = (unsigned)__builtin_ctzll(p);
				state_number number = i << q->thread_bits | a;
				const struct state *s = state_at(q, number);
				struct witness *best = &q->witness[property];
				bool better = !(found >> property & 1) || here < level[property] ||
					      (here == level[property] && memcmp(s, &best->words, sizeof *s) < 0);

				if (better) {
					*best = (struct witness){.state = number, .rule = NO_RULE, .words = *s};
					level[property] = here;
				}
				found |= (uint64_t)1 << property;
			}
		}
	}
	q->found |= found;
}
