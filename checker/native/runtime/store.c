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

/* The states that fit into the table: it is quicker where it is less full. */
static uint64_t table_room(const struct search *q)
{
	uint64_t slots = (uint64_t)1 << q->table.bits;

	return q->crowded ? slots / 8 * 7 : slots / 4 * 3;
}

static uint32_t quota(const struct search *q)
{
	uint64_t room = table_room(q), most = UINT32_MAX;

	room = room > q->states ? (room - q->states) / q->threads : 0;
	return (uint32_t)(room < most ? room : most);
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
	q->margin = (uint64_t)q->threads * (model_degree + LZ_BATCH);
	while (((uint64_t)1 << bits) < 16 * q->margin)
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

/*
 * Move a share of the entries, in their order, so that both tables are walked straight through; what has been read is
 * given back.  Several workers may be at it, each with its share.
 */
void table_move(struct search *q, unsigned share, unsigned shares)
{
	const struct table *from = &q->moving, *to = &q->table;
	const uint64_t mask = ((uint64_t)1 << to->bits) - 1, chunk = (uint64_t)1 << 18;
	const uint64_t slots = (uint64_t)1 << from->bits;
	const uint64_t begin = slots / shares * share, end = share + 1 == shares ? slots : begin + slots / shares;

	for (uint64_t i = begin; i < end; i++) {
		uint64_t entry = from->slots[i], at, none = 0;

		if (i - begin >= chunk && !(i & (chunk - 1))) {
			struct region read = {.at = (unsigned char *)&from->slots[i - chunk]};

			region_forget(&read, chunk * sizeof entry);
		}
		if (!entry)
			continue;
		at = slot_tag(entry) >> (32 - to->bits);
		if (shares == 1) {
			while (to->slots[at])
				at = (at + 1) & mask;
			to->slots[at] = entry;
			continue;
		}
		while (!atomic_compare_exchange_strong_explicit((_Atomic uint64_t *)(void *)&to->slots[at], &none, entry,
								memory_order_relaxed, memory_order_relaxed)) {
			at = (at + 1) & mask;
			none = 0;
		}
	}
}

/* All entries are moved. */
void table_moved(struct search *q)
{
	table_drop(&q->moving);
	q->moving = (struct table){0};
}

/*
 * Twice the table; false if there is no room for that.  The entries are still to be moved if they are many and there
 * are `helpers` for that.
 */
static bool table_double(struct search *q, bool helpers)
{
	const unsigned many = 18;
	struct table old = q->table;
	uint64_t added = sizeof(uint64_t) << old.bits;

	if (q->edges && bytes_now(q) + added > q->options.memory)
		drop_edges(q);
	if (old.bits >= 32 || bytes_now(q) + added > q->options.memory)
		return false;
	table_make(q, old.bits + 1);
	if (!q->table.slots) {
		q->table = old;
		return false;
	}
	atomic_fetch_add(&q->bytes, added);
	q->moving = old;
	if (!helpers || old.bits < many) {
		table_move(q, 0, 1);
		table_moved(q);
	}
	return true;
}

/*
 * While all workers wait: make the table as large as the states found so far need it, see table_double().  Where memory
 * ends it is filled up further than is good for speed.
 */
void table_grow(struct search *q, bool helpers)
{
	uint64_t states = 0;

	for (unsigned i = 0; i < q->threads; i++)
		states += atomic_load(&q->arenas[i].count);
	q->states = states;
	while (states > ((uint64_t)1 << q->table.bits) / 2 && !q->crowded && !q->moving.slots)
		q->crowded = !table_double(q, helpers);
	if (q->crowded && states + q->margin > table_room(q))
		atomic_store(&q->limit, LIMIT_MEMORY);
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
		if (q->edges) {
			region_push(&w->targets, number);
			if (model_turns)
				w->turns.at[w->turns.used++] = x->turns[i];
		}
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
