/* Which objects can still be freed: backwards over the successors that the search has kept. */
#include "engine.h"

#include <stdlib.h>

static bool make_room(const struct search *q, uint64_t *full)
{
	*full = model_leaks == 64 ? UINT64_MAX : ((uint64_t)1 << model_leaks) - 1;
	for (unsigned i = 0; i < q->threads; i++) {
		struct region r;

		if (!region_reserve(&r, (size_t)q->arenas[i].room * sizeof(uint64_t)) ||
		    r.room < (size_t)atomic_load(&q->arenas[i].count) * (model_leaks > 8 ? 8 : 1)) {
			region_release(&r);
			return false;
		}
		((struct search *)q)->able[i] = r.at;
	}
	return true;
}

/* Several threads may be at work.  Objects are only ever added, and for a state by one thread only. */
static uint64_t get_able(const struct search *q, unsigned arena, uint32_t place)
{
	if (model_leaks > 8)
		return atomic_load_explicit((_Atomic uint64_t *)(void *)q->able[arena] + place, memory_order_relaxed);
	return atomic_load_explicit((_Atomic unsigned char *)q->able[arena] + place, memory_order_relaxed);
}

static void set_able(const struct search *q, unsigned arena, uint32_t place, uint64_t objects)
{
	if (model_leaks > 8)
		atomic_store_explicit((_Atomic uint64_t *)(void *)q->able[arena] + place, objects, memory_order_relaxed);
	else
		atomic_store_explicit((_Atomic unsigned char *)q->able[arena] + place, (unsigned char)objects,
				      memory_order_relaxed);
}

/* One walk over a worker's states, the last first; true if something was added. */
static bool sweep(const struct search *q, const struct worker *w, uint64_t full, bool first)
{
	const unsigned bits = q->thread_bits, low = (1u << bits) - 1;
	const struct stretch *stretch = (const struct stretch *)(const void *)(w->stretches.at + w->stretches.used);
	const struct stretch *begin = (const struct stretch *)(const void *)w->stretches.at;
	const uint16_t *degree = (const uint16_t *)(const void *)(w->degrees.at + w->degrees.used);
	const state_number *target = (const state_number *)(const void *)(w->targets.at + w->targets.used);
	bool changed = false;

	while (stretch-- != begin) {
		const struct state *states = (const struct state *)(const void *)q->arenas[stretch->arena].states.at;

		for (uint32_t i = stretch->first + stretch->count; i-- != stretch->first;) {
			unsigned count = *--degree & (LZ_CUT - 1);
			uint64_t old = 0, able;

			target -= count;
			if (!first)
				old = get_able(q, stretch->arena, i);
			if (old == full)
				continue;
			able = first ? *degree & LZ_CUT ? full : full & ~model_live(&states[i]) : old;
			for (unsigned k = 0; k < count && able != full; k++)
				able |= get_able(q, target[k] & low, target[k] >> bits);
			if (able != old) {
				set_able(q, stretch->arena, i, able);
				changed = true;
			}
		}
	}
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
	const struct search *q;
	const struct worker *w;
	uint64_t full;
	bool first, changed;
};

static void *sweep_share(void *argument)
{
	struct share *share = argument;

	share->changed = sweep(share->q, share->w, share->full, share->first);
	return NULL;
}

/* Each worker's states, at the same time where there are threads; true if something was added. */
static bool sweep_all(const struct search *q, uint64_t full, bool first)
{
	struct share shares[LZ_MAX_THREADS];
	pthread_t threads[LZ_MAX_THREADS];
	bool started[LZ_MAX_THREADS] = {false}, changed = false;

	for (unsigned i = 0; i < q->threads; i++) {
		shares[i] = (struct share){.q = q, .w = &q->workers[i], .full = full, .first = first};
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

/* After a complete search: note the first states in which a live object can never be freed again. */
void leak_find(struct search *q)
{
	uint64_t full, found = 0;
	uint32_t level[LZ_PROPERTIES];
	bool changed = true;

	if (!make_room(q, &full)) {
		q->edges_dropped = true;
		return;
	}
	for (bool first = true; changed; first = false)
		changed = sweep_all(q, full, first);
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
