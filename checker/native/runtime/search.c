/* Breadth-first search, level by level, by any number of threads. */
#include "engine.h"

#include <stdlib.h>
#include <time.h>

struct search *the_search;

static const double progress_seconds = 0.3;

double now_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

void sink_flush(struct sink *x)
{
	if (x->sweep)
		leak_flush(the_search, (struct worker *)(void *)x);
	else
		worker_flush(the_search, (struct worker *)(void *)x);
}

/* -- meeting */

/* Wait until all workers are here; true for one of them, which the others wait for (see `leave`). */
static bool meet(struct search *q)
{
	unsigned meeting;

	pthread_mutex_lock(&q->mutex);
	meeting = q->meeting;
	if (++q->waiting == q->threads) {
		pthread_mutex_unlock(&q->mutex);
		return true;
	}
	while (meeting == q->meeting)
		pthread_cond_wait(&q->met, &q->mutex);
	pthread_mutex_unlock(&q->mutex);
	return false;
}

static void leave(struct search *q)
{
	pthread_mutex_lock(&q->mutex);
	q->waiting = 0;
	q->meeting++;
	pthread_cond_broadcast(&q->met);
	pthread_mutex_unlock(&q->mutex);
}

/* -- what is found */

/* Which of two states of a level is shown does not depend on which thread came first. */
static bool witness_before(const struct witness *a, const struct witness *b)
{
	int order = memcmp(&a->words, &b->words, sizeof a->words);

	return order ? order < 0 : a->rule < b->rule;
}

static void note_one(struct worker *w, unsigned property, const struct witness *seen)
{
	if (!(w->found >> property & 1) || witness_before(seen, &w->witness[property]))
		w->witness[property] = *seen;
	w->found |= (uint64_t)1 << property;
}

static void note(struct worker *w, uint64_t properties, state_number number, const struct state *s, uint32_t rule)
{
	struct witness seen = {.state = number, .rule = rule, .by_rule = rule != NO_RULE, .words = *s};

	for (properties &= ~the_search->found; properties; properties &= properties - 1)
		note_one(w, (unsigned)__builtin_ctzll(properties), &seen);
}

static state_number current(const struct worker *w)
{
	return (w->piece_next << the_search->thread_bits) | w->piece_arena;
}

void sink_misstep(struct sink *x, uint64_t properties, uint32_t rule)
{
	struct worker *w = (struct worker *)(void *)x;

	if (!x->sweep)
		note(w, properties, current(w), x->source, rule);
}

static void note_faults(struct worker *w, const struct state *s)
{
	w->cut = true;
	note(w, w->sink.faults & ~((uint64_t)1 << 63), current(w), s, NO_RULE - 1);
}

/* -- the clock */

static uint64_t states_now(const struct search *q)
{
	uint64_t states = 0;

	for (unsigned i = 0; i < q->threads; i++)
		states += atomic_load_explicit(&q->arenas[i].count, memory_order_relaxed);
	return states;
}

static uint64_t transitions_now(const struct search *q)
{
	uint64_t transitions = 0;

	for (unsigned i = 0; i < q->threads; i++)
		transitions += atomic_load_explicit(&q->workers[i].transitions, memory_order_relaxed);
	return transitions;
}

static void halt(struct search *q, enum limit why)
{
	int none = LIMIT_NONE;

	atomic_compare_exchange_strong(&q->limit, &none, (int)why);
	atomic_store(&q->pause, 1);
}

static uint64_t edge_bytes(const struct search *q)
{
	return transitions_now(q) * (sizeof(state_number) + model_turns) + states_now(q) * sizeof(uint16_t);
}

/* What states, table and leaks take. */
uint64_t stored_bytes(const struct search *q)
{
	uint64_t states = states_now(q);
	uint64_t bytes = atomic_load(&q->bytes) + (states - q->forgotten) * sizeof(struct state);

	if (q->options.fingerprints)
		return bytes;

	/* in the end leaks take some bytes a state, and until then perhaps the successors more */
	if (model_leaks)
		bytes += states * able_bytes() + (q->edges ? edge_bytes(q) : states * sizeof(state_number));
	return bytes;
}

uint64_t bytes_now(const struct search *q)
{
	return q->base + stored_bytes(q);
}

static void look_at_the_clock(struct search *q)
{
	double now = now_seconds(), seconds = now - q->started;

	if (q->options.seconds >= 0 && seconds > q->options.seconds)
		halt(q, LIMIT_SECONDS);
	if (states_now(q) > q->options.states)
		halt(q, LIMIT_STATES);
	if (bytes_now(q) > q->options.memory)
		atomic_store(&q->pause, 1);
	if (now - q->reported >= progress_seconds) {
		uint64_t states = states_now(q);

		q->reported = now;
		printf("progress %llu %llu %u %llu %.3f\n", (unsigned long long)states,
		       (unsigned long long)transitions_now(q), q->level,
		       (unsigned long long)(states - q->states + q->level_size), seconds);
		if (fflush(stdout))
			exit(1);
	}
}

/* -- the work */

static void expand(struct search *q, struct worker *w, const struct state *s)
{
	struct sink *x = &w->sink;

	x->source = s;
	x->enabled = 0;
	x->faults = 0;
	if (!(q->broken_here && model_broken(s))) {
		model_expand(s, x);
		if (LZ_UNLIKELY(x->faults))
			note_faults(w, s);
		if (LZ_UNLIKELY(!x->enabled && !x->faults) && model_deadlock >= 0 && !model_final(s))
			note(w, (uint64_t)1 << model_deadlock, current(w), s, NO_RULE);
		if (LZ_UNLIKELY(x->undefined || x->outgrown || x->cramped)) {
			q->trouble = *s;
			halt(q, LIMIT_NONE);
		}
	} else {
		w->cut = true;
		x->faults = 1;
	}
	if (q->edges) {
		uint16_t degree = (uint16_t)(x->enabled | (x->faults ? LZ_CUT : 0));

		*(uint16_t *)(void *)(w->degrees.at + w->degrees.used) = degree;
		w->degrees.used += sizeof degree;
	}
	atomic_store_explicit(&w->transitions,
			      atomic_load_explicit(&w->transitions, memory_order_relaxed) + x->enabled,
			      memory_order_relaxed);
	w->expanded++;
}

/* Take the next piece of the level, from the worker's own arena first; false if nothing is left. */
static bool take(struct search *q, struct worker *w)
{
	for (unsigned i = 0; i < q->threads; i++) {
		unsigned a = (w->id + i) % q->threads;
		uint32_t first;

		if (atomic_load_explicit(&q->cursor[a], memory_order_relaxed) >= q->end[a])
			continue;
		first = atomic_fetch_add(&q->cursor[a], q->piece);
		if (first >= q->end[a])
			continue;
		w->piece_arena = a;
		w->piece_next = first;
		w->piece_end = q->end[a] - first < q->piece ? q->end[a] : first + q->piece;
		return true;
	}
	return false;
}

static void log_stretch(struct worker *w, uint32_t first)
{
	struct stretch s = {.arena = w->piece_arena, .first = first, .count = w->piece_next - first};

	if (!s.count)
		return;
	memcpy(w->stretches.at + w->stretches.used, &s, sizeof s);
	w->stretches.used += sizeof s;
}

/* Expand what there is to expand until the level ends or all are to meet. */
static void work(struct search *q, struct worker *w)
{
	while (w->piece_next < w->piece_end || take(q, w)) {
		const struct state *states = (const struct state *)(const void *)q->arenas[w->piece_arena].states.at;
		uint32_t first = w->piece_next;

		while (w->piece_next < w->piece_end && !atomic_load_explicit(&q->pause, memory_order_relaxed)) {
			__builtin_prefetch(&states[w->piece_next + 8]);
			expand(q, w, &states[w->piece_next]);
			w->piece_next++;
			if (w->id == 0 && (w->expanded & 1023) == 0)
				look_at_the_clock(q);
		}
		if (q->edges)
			log_stretch(w, first);
		if (atomic_load_explicit(&q->pause, memory_order_relaxed))
			break;
	}
	worker_flush(q, w);
}

/* Look at the states of the new level that this worker found. */
static void visit(struct search *q, struct worker *w)
{
	const struct arena *a = &q->arenas[w->id];
	uint64_t wanted_marks = model_marks & ~q->marks;

	for (uint32_t i = q->begin[w->id]; i < q->end[w->id]; i++) {
		const struct state *s = (const struct state *)(const void *)a->states.at + i;
		uint64_t here = model_broken(s), marked = wanted_marks ? model_marked(s, wanted_marks) : 0;

		w->marks |= marked;
		marked &= ~model_premises;
		if (LZ_UNLIKELY(here | marked))
			note(w, here | marked, i << q->thread_bits | w->id, s, NO_RULE);
	}
}

static void gather(struct search *q)
{
	uint64_t found = 0;

	for (unsigned i = 0; i < q->threads; i++) {
		struct worker *w = &q->workers[i];

		for (uint64_t new = w->found & ~q->found; new; new &= new - 1) {
			unsigned p = (unsigned)__builtin_ctzll(new);

			if (!(found >> p & 1) || witness_before(&w->witness[p], &q->witness[p]))
				q->witness[p] = w->witness[p];
			found |= (uint64_t)1 << p;
		}
		q->marks |= w->marks;
		q->cut |= w->cut;
		q->undefined |= w->sink.undefined;
		q->outgrown |= w->sink.outgrown;
		q->dropped |= w->sink.dropped;
		q->refused |= w->sink.refused;
		q->cramped |= w->sink.cramped;
		w->found = 0;
	}
	q->found |= found;
}

static bool all_found(const struct search *q)
{
	uint64_t violated = q->found & q->violable;

	switch (q->options.stop) {
	case STOP_ANY:
		return violated;
	case STOP_ALL:
		return !(q->options.stop_on & ~violated);
	default:
		return false;
	}
}

/* Make what was found since the last call the level to expand. */
static void next_level(struct search *q)
{
	q->states = q->level_size = q->forgotten = 0;
	for (unsigned i = 0; i < q->threads; i++) {
		struct arena *a = &q->arenas[i];

		q->begin[i] = q->end[i];
		if (q->options.fingerprints) {
			region_forget(&a->states, (size_t)q->begin[i] * sizeof(struct state));
			q->forgotten += q->begin[i];
		}
		q->end[i] = atomic_load(&a->count);
		atomic_store(&q->cursor[i], q->begin[i]);
		q->level_size += q->end[i] - q->begin[i];
		q->states += q->end[i];
		((uint32_t *)(void *)a->levels.at)[a->levels.used++] = q->begin[i];
	}
	q->piece = (uint32_t)(q->level_size / (q->threads * 16u));
	q->piece = q->piece < 1 ? 1 : q->piece > 256 ? 256 : q->piece;
}

/* Leaks can also be found without the successors, only slower. */
void drop_edges(struct search *q)
{
	q->edges = false;
	for (unsigned i = 0; i < q->threads; i++) {
		region_release(&q->workers[i].targets);
		region_release(&q->workers[i].turns);
		region_release(&q->workers[i].degrees);
		region_release(&q->workers[i].stretches);
	}
}

static bool edges_full(const struct search *q)
{
	for (unsigned i = 0; i < q->threads; i++) {
		const struct worker *w = &q->workers[i];

		if (w->targets.room - w->targets.used < w->targets.room / 8 ||
		    (model_turns && w->turns.room - w->turns.used < w->turns.room / 8) ||
		    w->degrees.room - w->degrees.used < w->degrees.room / 8 ||
		    w->stretches.room - w->stretches.used < w->stretches.room / 8)
			return true;
	}
	return false;
}

/* What was found does not count. */
static bool in_trouble(const struct search *q)
{
	return q->undefined || q->outgrown || q->cramped;
}

/* While all workers wait: what only one of them may do.  True if the level goes on. */
static bool consider(struct search *q)
{
	bool more = false;

	atomic_store(&q->pause, 0);
	if (atomic_exchange(&q->grow, false))
		table_grow(q, q->threads > 1);
	if (q->edges && (bytes_now(q) > q->options.memory || edges_full(q)))
		drop_edges(q);
	if (bytes_now(q) > q->options.memory)
		halt(q, LIMIT_MEMORY);
	if (states_now(q) > q->options.states)
		halt(q, LIMIT_STATES);
	for (unsigned i = 0; i < q->threads; i++) {
		q->undefined |= q->workers[i].sink.undefined;
		q->outgrown |= q->workers[i].sink.outgrown;
		q->cramped |= q->workers[i].sink.cramped;
		more |= q->workers[i].piece_next < q->workers[i].piece_end || atomic_load(&q->cursor[i]) < q->end[i];
	}
	return more && !atomic_load(&q->limit) && !in_trouble(q);
}

struct phase {
	bool more;
};

static struct phase phase;

static void *worker_main(void *argument)
{
	struct worker *w = argument;
	struct search *q = the_search;

	for (;;) {
		/* the states of the level, one by one */
		visit(q, w);
		if (meet(q)) {
			gather(q);
			q->broken_here = (q->found & model_state_properties) != 0;
			phase.more = q->level_size && !all_found(q);
			if (phase.more && q->level == q->options.depth)
				halt(q, LIMIT_DEPTH);
			phase.more &= !atomic_load(&q->limit);
			leave(q);
		}
		if (!phase.more)
			return NULL;
		/* their successors, with pauses in which the table may grow */
		for (;;) {
			work(q, w);
			if (meet(q)) {
				phase.more = consider(q);
				leave(q);
			}
			if (q->moving.slots) {
				table_move(q, w->id, q->threads);
				if (meet(q)) {
					table_moved(q);
					leave(q);
				}
			}
			if (!phase.more)
				break;
		}
		if (meet(q)) {
			gather(q);
			phase.more = !all_found(q) && !atomic_load(&q->limit) && !in_trouble(q);
			next_level(q);
			q->level += q->level_size != 0;
			leave(q);
		}
		if (!phase.more)
			return NULL;
	}
}

static void start(struct search *q)
{
	struct worker *w = &q->workers[0];

	for (uint64_t i = 0; i < q->initials; i++) {
		struct state s = q->initial[i];

		model_canonical(&s);
		sink_put(&w->sink, &s, 0);
		if (atomic_exchange(&q->grow, false)) {
			worker_flush(q, w);
			table_grow(q, false);
		}
	}
	worker_flush(q, w);
	w->targets.used = w->turns.used = 0;
	next_level(q);
}

void search_run(struct search *q)
{
	pthread_t others[LZ_MAX_THREADS];
	unsigned created = 0;

	q->started = q->reported = now_seconds();
	start(q);
	for (unsigned i = 1; i < q->threads; i++, created++)
		if (pthread_create(&others[i], NULL, worker_main, &q->workers[i])) {
			fputs("cannot start a thread\n", stderr);
			exit(3);
		}
	worker_main(&q->workers[0]);
	for (unsigned i = 1; i <= created; i++)
		pthread_join(others[i], NULL);
	q->complete = !q->level_size && !atomic_load(&q->limit) && !all_found(q) && !in_trouble(q);
}
