/* Which objects can still be freed: backwards over the states, with what the search has kept and what it computes again. */
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

/* What can be freed from a state itself, or from the successor that the search has remembered; true if that is more. */
static bool follow(const struct search *q, unsigned arena, uint32_t place, uint64_t full, bool first)
{
	const struct arena *a = &q->arenas[arena];
	state_number next = ((const state_number *)(const void *)a->next.at)[place];
	uint64_t old = get_able(q, arena, place), able = old;

	if (old == full)
		return false;
	if (first)
		able |= full & ~model_live((const struct state *)(const void *)a->states.at + place);
	if (next && able != full)
		able |= get_able(q, (next - 1) & ((1u << q->thread_bits) - 1), (next - 1) >> q->thread_bits);
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
		uint64_t able = old | get_able(q, target & low, target >> bits);

		if (able != old) {
			set_able(q, owner & low, owner >> bits, able);
			w->more = true;
		}
	}
	x->pending = 0;
}

/*
 * One walk over the states that a worker found, the last first; true if something was added.  At first it goes by
 * remembered successors only; that leaves few states, whose successors are then computed again.
 */
static bool sweep(struct search *q, struct worker *w, uint64_t full, bool first, bool again)
{
	struct sink *x = &w->sink;
	const struct state *states = (const struct state *)(const void *)w->arena->states.at;

	w->more = false;
	for (uint32_t i = atomic_load(&w->arena->count); i-- != 0;) {
		if (!again) {
			w->more |= follow(q, w->id, i, full, first);
			continue;
		}
		if (get_able(q, w->id, i) == full)
			continue;
		x->source = &states[i];
		x->owner = i << q->thread_bits | w->id;
		x->faults = 0;
		x->enabled = 0;
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
	bool first, again, changed;
};

static void *sweep_share(void *argument)
{
	struct share *share = argument;

	share->changed = sweep(share->q, share->w, share->full, share->first, share->again);
	return NULL;
}

/* Each worker's states, at the same time where there are threads; true if something was added. */
static bool sweep_all(struct search *q, uint64_t full, bool first, bool again)
{
	struct share shares[LZ_MAX_THREADS];
	pthread_t threads[LZ_MAX_THREADS];
	bool started[LZ_MAX_THREADS] = {false}, changed = false;

	for (unsigned i = 0; i < q->threads; i++) {
		shares[i] = (struct share){.q = q, .w = &q->workers[i], .full = full, .first = first, .again = again};
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
	uint64_t *counts[LZ_MAX_THREADS];
	bool first = true;

	if (!make_room(q, &full)) {
		q->leaks_dropped = true;
		return;
	}
	fprintf(stderr,"begin %f\n", now_seconds()-q->started);while (sweep_all(q, full, first, false))
		first = false;
	for (unsigned i = 0; i < q->threads; i++) {
		counts[i] = q->workers[i].sink.fired;
		q->workers[i].sink.fired = wanted(calloc(model_rules + 1, sizeof *counts[i]));
		q->workers[i].sink.sweep = true;
	}
	for (;;) { uint64_t n=0; for (unsigned a=0;a<q->threads;a++) for (uint32_t i=0;i<atomic_load(&q->arenas[a].count);i++) n+= get_able(q,a,i)!=full;
	fprintf(stderr,"sweep left %llu %f\n",(unsigned long long)n, now_seconds()-q->started);
	if (!sweep_all(q, full, false, true)) break; }
	for (unsigned i = 0; i < q->threads; i++) {
		free(q->workers[i].sink.fired);
		q->workers[i].sink.fired = counts[i];
		q->workers[i].sink.sweep = false;
	}
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
