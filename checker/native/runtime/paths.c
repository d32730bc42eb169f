/*
 * Ways to what was found, found again: backwards through the levels to an initial state, then
 * forwards through states as they are, without symmetry.  All states on shortest ways are reported where
 * they are few, for whoever wants to choose among the ways.
 */
#include "engine.h"

#include <stdlib.h>

/* More states than this on the shortest ways, or before them, and only one way is reported. */
static const uint64_t few_states = 20000, few_expansions = 4000000;

/* -- sets of states */

struct set {
	struct state *at;
	uint32_t *slots;
	uint64_t count, room; /* room: a power of 2 */
};

static void set_free(struct set *set)
{
	free(set->at);
	free(set->slots);
	*set = (struct set){0};
}

static uint64_t set_slot(const struct set *set, const struct state *s)
{
	uint64_t at = state_hash(s) >> 32 & (2 * set->room - 1);

	while (set->slots[at] && !state_equal(&set->at[set->slots[at] - 1], s))
		at = (at + 1) & (2 * set->room - 1);
	return at;
}

static bool set_has(const struct set *set, const struct state *s)
{
	return set->count && set->slots[set_slot(set, s)];
}

static void set_add(struct set *set, const struct state *s)
{
	uint64_t at;

	if (set->count == set->room) {
		set->room = set->room ? 2 * set->room : 16;
		set->at = wanted(realloc(set->at, set->room * sizeof *set->at));
		free(set->slots);
		set->slots = wanted(calloc(2 * set->room, sizeof *set->slots));
		for (uint64_t i = 0; i < set->count; i++)
			set->slots[set_slot(set, &set->at[i])] = (uint32_t)(i + 1);
	}
	at = set_slot(set, s);
	if (set->slots[at])
		return;
	set->at[set->count] = *s;
	set->slots[at] = (uint32_t)++set->count;
}

/* -- steps */

void steps_add(struct steps *steps, const struct step *step)
{
	if (steps->count == steps->room) {
		steps->room = steps->room ? 2 * steps->room : 64;
		steps->at = wanted(realloc(steps->at, steps->room * sizeof *steps->at));
	}
	steps->at[steps->count++] = *step;
}

static int by_rule(const void *a, const void *b)
{
	uint32_t left = ((const struct step *)a)->rule, right = ((const struct step *)b)->rule;

	return (left > right) - (left < right);
}

struct finder {
	struct search *q;
	struct worker *w;
	struct steps steps;
	unsigned property;
	bool by_rule;
	uint64_t expansions;
};

static void list_steps(struct finder *f, const struct state *s)
{
	struct sink *x = &f->w->sink;

	f->steps.count = 0;
	f->expansions++;
	x->source = s;
	x->enabled = x->faults = 0;
	x->listen = &f->steps;
	model_expand(s, x);
	x->listen = NULL;
}

static bool is_end(const struct finder *f, const struct step *step)
{
	if (step->fault)
		return model_fault[step->rule] == (int)f->property;
	return step->missteps >> f->property & 1;
}

/* Whether the way may end in a state of the last level. */
static bool goal(struct finder *f, const struct state *s, state_number number)
{
	uint64_t bit = (uint64_t)1 << f->property;

	if (f->by_rule) {
		if (model_broken(s))
			return false;
		list_steps(f, s);
		for (size_t i = 0; i < f->steps.count; i++)
			if (is_end(f, &f->steps.at[i]))
				return true;
		return false;
	}
	if (bit & model_state_properties)
		return model_broken(s) & bit;
	if (bit & model_marks)
		return model_marked(s, bit);
	if ((int)f->property == model_deadlock) {
		if (model_broken(s))
			return false;
		list_steps(f, s);
		return !f->steps.count && !model_final(s);
	}
	return leak_doomed(f->q, number, f->property);
}

static bool leads_into(struct finder *f, const struct state *s, const struct set *next)
{
	if (model_broken(s))
		return false;
	list_steps(f, s);
	for (size_t i = 0; i < f->steps.count; i++)
		if (!f->steps.at[i].fault && set_has(next, &f->steps.at[i].canonical))
			return true;
	return false;
}

/* -- levels */

static uint32_t level_begin(const struct search *q, unsigned arena, uint32_t level)
{
	const struct arena *a = &q->arenas[arena];

	if (level < a->levels.used)
		return ((const uint32_t *)(const void *)a->levels.at)[level];
	return atomic_load(&a->count);
}

static uint64_t level_size(const struct search *q, uint32_t level)
{
	uint64_t size = 0;

	for (unsigned i = 0; i < q->threads; i++)
		size += level_begin(q, i, level + 1) - level_begin(q, i, level);
	return size;
}

static uint32_t level_of_state(const struct search *q, state_number number)
{
	unsigned arena = number & ((1u << q->thread_bits) - 1);
	uint32_t level = 0;

	while (level_begin(q, arena, level + 1) <= number >> q->thread_bits)
		level++;
	return level;
}

/*
 * The states of a level from which a way goes on: into `next`, or, in the last level, that are a goal.
 * If one is enough it is the smallest, so that it does not depend on which thread found what.
 */
static void collect(struct finder *f, uint32_t level, const struct set *next, bool one, struct set *found)
{
	const struct search *q = f->q;
	const struct state *least = NULL;

	for (unsigned a = 0; a < q->threads; a++)
		for (uint32_t i = level_begin(q, a, level); i < level_begin(q, a, level + 1); i++) {
			state_number number = i << q->thread_bits | a;
			const struct state *s = state_at(q, number);

			if (one && least && memcmp(least, s, sizeof *s) < 0)
				continue;
			if (next ? !leads_into(f, s, next) : !goal(f, s, number))
				continue;
			if (one)
				least = s;
			else
				set_add(found, s);
		}
	if (least)
		set_add(found, least);
}

/* -- ways */

static bool print_path(struct finder *f, const struct set *ways, uint32_t last)
{
	const struct search *q = f->q;
	struct state at = {0};
	uint64_t initial;

	for (initial = 0; initial < q->initials; initial++) {
		struct state canonical = at = q->initial[initial];

		model_canonical(&canonical);
		if (set_has(&ways[0], &canonical))
			break;
	}
	if (initial == q->initials)
		return false;
	printf("path %u %llu", f->property, (unsigned long long)initial);
	for (uint32_t level = 0; level < last + f->by_rule; level++) {
		size_t i;

		list_steps(f, &at);
		qsort(f->steps.at, f->steps.count, sizeof *f->steps.at, by_rule);
		for (i = 0; i < f->steps.count; i++) {
			const struct step *step = &f->steps.at[i];

			if (level == last ? is_end(f, step) : !step->fault && set_has(&ways[level + 1], &step->canonical))
				break;
		}
		if (i == f->steps.count) {
			printf(" lost\n");
			return false;
		}
		printf(" %u", f->steps.at[i].rule);
		at = f->steps.at[i].concrete;
	}
	putchar('\n');
	return true;
}

static void print_states(const char *what, uint32_t level, const struct set *set)
{
	for (uint64_t i = 0; i < set->count; i++) {
		printf("%s %u", what, level);
		for (int k = 0; k < LZ_WORDS; k++)
			printf(" %llx", (unsigned long long)set->at[i].w[k]);
		putchar('\n');
	}
}

/* Report all states on the shortest ways, as they are, level by level. */
static void print_ways(struct finder *f, const struct set *ways, uint32_t last)
{
	const struct search *q = f->q;
	struct set *levels = wanted(calloc(last + 1, sizeof *levels));
	uint64_t total = 0;

	for (uint64_t i = 0; i < q->initials; i++) {
		struct state canonical = q->initial[i];

		model_canonical(&canonical);
		if (set_has(&ways[0], &canonical))
			set_add(&levels[0], &q->initial[i]);
	}
	for (uint32_t level = 0; level < last && total <= few_states; level++) {
		for (uint64_t i = 0; i < levels[level].count && total <= few_states; i++) {
			list_steps(f, &levels[level].at[i]);
			for (size_t k = 0; k < f->steps.count; k++)
				if (!f->steps.at[k].fault && set_has(&ways[level + 1], &f->steps.at[k].canonical))
					set_add(&levels[level + 1], &f->steps.at[k].concrete);
			total += f->steps.count != 0;
		}
		total += levels[level + 1].count;
	}
	if (total <= few_states)
		for (uint32_t level = 0; level <= last; level++)
			print_states("way", level, &levels[level]);
	printf("ways %u %u\n", f->property, total <= few_states ? last + 1 : 0);
	for (uint32_t level = 0; level <= last; level++)
		set_free(&levels[level]);
	free(levels);
}

static void report_ways(struct finder *f, const struct witness *witness)
{
	const struct search *q = f->q;
	uint32_t last = level_of_state(q, witness->state);
	struct set *ways = wanted(calloc(last + 1, sizeof *ways));
	uint64_t before = 0, bit = (uint64_t)1 << f->property;
	bool one = bit & model_marks;

	for (uint32_t level = 0; level <= last; level++)
		before += level_size(q, level);
	one |= before > few_expansions;
	if (one)
		set_add(&ways[last], &witness->words);
	else
		collect(f, last, NULL, false, &ways[last]);
	for (uint32_t level = last; level-- > 0;)
		collect(f, level, &ways[level + 1], one, &ways[level]);
	if (print_path(f, ways, last)) {
		if (one)
			printf("ways %u 0\n", f->property);
		else
			print_ways(f, ways, last);
	}
	for (uint32_t level = 0; level <= last; level++)
		set_free(&ways[level]);
	free(ways);
}

void paths_report(struct search *q)
{
	for (uint64_t found = q->found; found; found &= found - 1) {
		unsigned property = (unsigned)__builtin_ctzll(found);
		struct finder f = {.q = q, .w = &q->workers[0], .property = property};

		if (!((uint64_t)1 << property & (q->violable | model_marks)))
			continue;
		f.by_rule = q->witness[property].by_rule;
		report_ways(&f, &q->witness[property]);
		free(f.steps.at);
	}
}

/* Where states are not kept there are no ways: only how many steps each takes. */
void depths_report(const struct search *q)
{
	for (uint64_t found = q->found & (q->violable | model_marks); found; found &= found - 1) {
		unsigned property = (unsigned)__builtin_ctzll(found);
		const struct witness *witness = &q->witness[property];

		printf("deep %u %u\n", property, level_of_state(q, witness->state) + witness->by_rule);
	}
}
