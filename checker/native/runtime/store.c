/* The visited states: arenas in the order of discovery, and one table that finds them. */
#include "engine.h"

#include <stdlib.h>

static uint64_t slot_tag(uint64_t entry)
{
	return entry >> 32;
}

static struct state *arena_states(struct arena *a)
{
	return (struct state *)(void *)a->states.at;
}

const struct state *state_at(const struct search *q, state_number number)
{
	const struct arena *a = &q->arenas[number & (q->threads - 1 ? (1u << q->thread_bits) - 1 : 0)];

	return (const struct state *)(const void *)a->states.at + (number >> q->thread_bits);
}

static uint32_t quota(const struct search *q)
{
	return (uint32_t)((((uint64_t)1 << q->table.bits) / 4 * 3 - q->states) / q->threads);
}

static void table_make(struct search *q, unsigned bits)
{
	struct region r;
	size_t bytes = sizeof(uint64_t) << bits;

	if (!region_reserve(&r, bytes < (1 << 20) ? 1 << 20 : bytes) || r.room < bytes) {
		region_release(&r);
		q->table.slots = NULL;
		return;
	}
	q->table = (struct table){.slots = (uint64_t *)(void *)r.at, .bits = bits};
}

static void table_drop(struct table *t)
{
	size_t bytes = sizeof(uint64_t) << t->bits;
	struct region r = {.at = (unsigned char *)t->slots, .room = bytes < (1 << 20) ? 1 << 20 : bytes};

	region_release(&r);
}

static void sinks_follow(struct search *q)
{
	for (unsigned i = 0; i < q->threads; i++) {
		struct sink *x = &q->workers[i].sink;

		x->slots = q->table.slots;
		x->shift = 64 - q->table.bits;
		q->workers[i].quota = quota(q);
	}
}

void store_init(struct search *q)
{
	unsigned bits = 12;
	size_t each = machine_memory();
	uint32_t most = (uint32_t)((UINT64_C(1) << (32 - q->thread_bits)) - 2);

	/* between two looks at the quota a worker may add a batch and the successors of a state */
	while (((uint64_t)1 << bits) < (uint64_t)8 * q->threads * (model_rules + LZ_BATCH))
		bits++;
	table_make(q, bits);
	wanted(q->table.slots);
	for (unsigned i = 0; i < q->threads; i++) {
		struct arena *a = &q->arenas[i];
		size_t bytes = (size_t)most * sizeof(struct state);

		if (!region_reserve(&a->states, bytes < each ? bytes : each) || !region_reserve(&a->levels, 1 << 26))
			wanted(NULL);
		a->room = (uint32_t)(a->states.room / sizeof(struct state));
		a->room = a->room < most ? a->room : most;
	}
	atomic_store(&q->bytes, sizeof(uint64_t) << bits);
	sinks_follow(q);
}

/* Twice the table.  The entries are moved in their order, so that both tables are walked straight through. */
static void table_double(struct search *q)
{
	struct table old = q->table;
	uint64_t mask, added = sizeof(uint64_t) << old.bits;

	/* while the entries are moved there are both tables */
	if (q->edges && bytes_now(q) + 2 * added > q->options.memory)
		drop_edges(q);
	if (old.bits >= 32 || bytes_now(q) + 2 * added > q->options.memory) {
		atomic_store(&q->limit, LIMIT_MEMORY);
		return;
	}
	table_make(q, old.bits + 1);
	if (!q->table.slots) {
		q->table = old;
		atomic_store(&q->limit, LIMIT_MEMORY);
		return;
	}
	mask = ((uint64_t)1 << q->table.bits) - 1;
	for (uint64_t i = 0; i < (uint64_t)1 << old.bits; i++) {
		uint64_t entry = old.slots[i], at;

		if (!entry)
			continue;
		for (at = slot_tag(entry) >> (32 - q->table.bits); q->table.slots[at]; at = (at + 1) & mask)
			;
		q->table.slots[at] = entry;
	}
	table_drop(&old);
	atomic_fetch_add(&q->bytes, added);
}

/* While all workers wait: make the table as large as the states found so far need it. */
void table_grow(struct search *q, struct worker *w, bool first)
{
	uint64_t states = 0;

	(void)w;
	if (!first)
		return;
	for (unsigned i = 0; i < q->threads; i++)
		states += atomic_load(&q->arenas[i].count);
	q->states = states;
	while (states > ((uint64_t)1 << q->table.bits) / 2 && !atomic_load(&q->limit))
		table_double(q);
	sinks_follow(q);
}

/*
 * The number of a state, which is added if it is new.  A state is written before the entry that leads to it,
 * so whoever finds the entry may read it.  False if there is no room.
 */
static bool insert(struct search *q, struct worker *w, const struct state *s, uint64_t hash, state_number *number)
{
	struct sink *x = &w->sink;
	struct arena *mine = w->arena;
	const uint64_t mask = ((uint64_t)1 << (64 - x->shift)) - 1;
	uint64_t at = hash >> x->shift;
	uint64_t mine_entry = 0;
	uint32_t count = atomic_load_explicit(&mine->count, memory_order_relaxed);

	for (;;) {
		_Atomic uint64_t *slot = (_Atomic uint64_t *)(void *)&x->slots[at];
		uint64_t entry = atomic_load_explicit(slot, memory_order_acquire);

		if (!entry) {
			if (!mine_entry) {
				if (LZ_UNLIKELY(count == mine->room))
					return false;
				arena_states(mine)[count] = *s;
				*number = count << q->thread_bits | w->id;
				mine_entry = q->options.fingerprints ? hash : (hash >> 32 << 32) | (*number + 1);
			}
			if (q->threads == 1) {
				atomic_store_explicit(slot, mine_entry, memory_order_relaxed);
				break;
			}
			if (atomic_compare_exchange_strong_explicit(slot, &entry, mine_entry, memory_order_release,
								    memory_order_acquire))
				break;
		}
		if (q->options.fingerprints) {
			if (entry == hash)
				return true;
		} else if (slot_tag(entry) == hash >> 32) {
			*number = (state_number)entry - 1;
			if (state_equal(state_at(q, *number), s))
				return true;
			if (mine_entry)
				*number = (state_number)mine_entry - 1;
		}
		at = (at + 1) & mask;
	}
	atomic_store_explicit(&mine->count, count + 1, memory_order_relaxed);
	return true;
}

static void region_push(struct region *r, uint32_t value)
{
	*(uint32_t *)(void *)(r->at + r->used) = value;
	r->used += sizeof value;
}

/* The number of a state that is in the table. */
state_number state_find(const struct search *q, const struct state *s, uint64_t hash)
{
	const unsigned bits = q->table.bits;
	const uint64_t mask = ((uint64_t)1 << bits) - 1;

	for (uint64_t at = hash >> (64 - bits);; at = (at + 1) & mask) {
		uint64_t entry = q->table.slots[at];

		if (slot_tag(entry) == hash >> 32 && state_equal(state_at(q, (state_number)entry - 1), s))
			return (state_number)entry - 1;
	}
}

/* Look up a worker's pending successors; false if the search has to end for lack of room. */
bool worker_flush(struct search *q, struct worker *w)
{
	struct sink *x = &w->sink;
	unsigned pending = x->pending;
	uint32_t before = atomic_load_explicit(&w->arena->count, memory_order_relaxed), added;

	x->pending = 0;
	for (unsigned i = 0; i < pending && !q->options.fingerprints; i++) {
		_Atomic uint64_t *slot = (_Atomic uint64_t *)(void *)&x->slots[x->hashes[i] >> x->shift];
		uint64_t entry = atomic_load_explicit(slot, memory_order_acquire);

		if (slot_tag(entry) == x->hashes[i] >> 32 && entry)
			__builtin_prefetch(state_at(q, (state_number)entry - 1));
	}
	for (unsigned i = 0; i < pending; i++) {
		state_number number;

		if (!insert(q, w, &x->batch[i], x->hashes[i], &number)) {
			atomic_store(&q->limit, LIMIT_MEMORY);
			atomic_store(&q->pause, 1);
			return false;
		}
		if (q->edges)
			region_push(&w->targets, number);
	}
	added = atomic_load_explicit(&w->arena->count, memory_order_relaxed) - before;
	if (LZ_UNLIKELY(added >= w->quota)) {
		w->quota = 0;
		atomic_store(&q->grow, true);
		atomic_store(&q->pause, 1);
	} else {
		w->quota -= added;
	}
	return true;
}
