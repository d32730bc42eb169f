/*
 * The weak memory model: what checker/core/memory/views.py and weak.py say, rule by rule, on views of bytes.
 *
 * The generated part includes this behind the numbers of a model: how many locations, agents, registers with views,
 * control variables and words of the packed state there are; that LZ_HISTORY messages are kept of a location and
 * LZ_DEFER accesses put off by an agent; that a location lies in at most LZ_SPREAD words.  Its tables (weaktypes.h) are in
 * another file.  Names are those of the Python text.
 */
#include "engine.h"
#include "weak.h"

#include <stdlib.h>

#include "weaktypes.h"
#include "weakviews.h"
#include "weakbits.h"
#include "weaktidy.h"
#include "weakgens.h"

/* -- steps */

/* Read message i; what it publishes is the view of the register it goes to. */
static struct view load(struct weak *w, int agent, int l, int i, bool acquire)
{
	struct agent *a = &w->agents[agent];
	struct view seen = *cf_of(w, l, i);

	join(&seen, fv_of(w, l, i));
	at_least(&seen, l, i);
	join(&a->acq, &seen);
	join(&a->f, fv_of(w, l, i));
	at_least(&a->cur, l, i);
	if (acquire)
		join(&a->cur, &seen);
#if LZ_REGISTERS
	if (w->flags[l][i] & HAS_DEP && w->stored_by[l][i] == agent)
		join(&seen, &w->dep[l][i]);
#endif
	return seen;
}

static void value_of(const struct state *n, int l, uint64_t *value)
{
	for (int c = 0; c < places[l].words; c++)
		value[c] = n->w[places[l].word[c]] & places[l].mask[c];
}

static void set_value(uint64_t *s, int l, const uint64_t *value)
{
	for (int c = 0; c < places[l].words; c++)
		s[places[l].word[c]] = (s[places[l].word[c]] & ~places[l].mask[c]) | value[c];
}

/* A message is put in at p; `n` has the latest values, before and after. */
static void insert(struct weak *w, int l, int p, const uint64_t *value, struct state *n)
{
	struct view *all[MOST_VIEWS];
	int count = w->count[l], views;

	value_of(n, l, w->values[l][count - 1]);
	if (p == count) {
		set_value(n->w, l, value);
		w->flags[l][p] = 0;
		w->count[l]++;
		return;
	}
	views = views_of(w, all);
	for (int k = 0; k < views; k++)
		moved(all[k], l, p);
	w->count[l]++;
	for (int i = count; i > p; i--)
		copy_message(w, i, w, l, i - 1);
	w->flags[l][p] = 0;
	memcpy(w->values[l][p], value, sizeof w->values[l][p]);
}

static void store(struct weak *w, int agent, int l, int p, const uint64_t *value, struct state *n, bool release,
		  bool unlock, const struct view *also, const struct view *dep)
{
	struct agent *a = &w->agents[agent];
	struct view cf;

	insert(w, l, p, value, n);
	cf = release ? a->acq : a->wmb;
	at_least(&cf, l, p);
	if (also) {
		struct view there = *also;

		moved(&there, l, p);
		join(&cf, &there);
	}
	w->flags[l][p] = HAS_CF | HAS_FV;
	w->cf[l][p] = cf;
	w->fv[l][p] = a->f;
	if (unlock) {
		w->flags[l][p] |= HAS_OWNV;
		w->ownv[l][p] = a->own;
	}
#if LZ_REGISTERS
	if (dep) {
		w->flags[l][p] |= HAS_DEP;
		w->dep[l][p] = *dep;
		moved(&w->dep[l][p], l, p);
		w->stored_by[l][p] = (uint8_t)agent;
	}
#else
	(void)dep;
#endif
	at_least(&a->cur, l, p);
	join(&a->acq, &cf);
	join(&a->own, &cf);
	if (unlock) {
		w->unlocked[agent] = true;
		a->ul_acq = a->acq;
		a->ul_own = a->own;
	}
}

static struct view update(struct weak *w, int agent, int l, int i, const uint64_t *value, struct state *n,
			  bool acquire, bool release, const struct view *dep)
{
	struct view published = *cf_of(w, l, i), seen = load(w, agent, l, i, acquire);

	store(w, agent, l, i + 1, value, n, release, false, &published, dep);
	w->flags[l][i] |= HAS_ATT;
	moved(&seen, l, i + 1);
	return seen;
}

static void take_lock(struct weak *w, int agent, int l, int i, const uint64_t *value, struct state *n)
{
	struct agent *a = &w->agents[agent];
	struct view theirs = w->flags[l][i] & HAS_OWNV ? w->ownv[l][i] : zero;

	update(w, agent, l, i, value, n, true, false, NULL);
	join(&a->wmb, &theirs);
	if (w->unlocked[agent]) {
		join(&a->cur, &a->ul_acq);
		join(&a->wmb, &a->ul_own);
	}
}

static void full_barrier(struct weak *w, int agent)
{
	struct agent *a = &w->agents[agent];

	join(&a->acq, &w->barriers);
	a->cur = a->wmb = a->own = a->f = w->barriers = a->acq;
}

static void synchronise(struct weak *w, int agent)
{
	struct agent *a = &w->agents[agent];

	join(&a->acq, &w->barriers);
	join(&a->cur, &a->acq);
}

static void fence(struct weak *w, int agent, unsigned kind)
{
	struct agent *a = &w->agents[agent];

	for (int k = 0; kind == FENCE_RMB && k < w->pending[agent]; k++)
		w->deferred[agent][k].flagged |= !lates[w->deferred[agent][k].late].writes;
	if (kind == FENCE_WMB)
		join(&a->wmb, &a->own);
	else if (kind == FENCE_RMB)
		join(&a->cur, &a->acq);
	else
		full_barrier(w, agent);
}

/* All of a location's history is over; its value in the packed state is what it begins anew with. */
static void forget(struct weak *w, int l)
{
	struct view *all[MOST_VIEWS];
	int views = views_of(w, all);

	for (int k = 0; k < views; k++)
		*entry(all[k], l) = 0;
	w->count[l] = 1;
	w->flags[l][0] = 0;
}

/* -- what the steps of a model call */

void weak_begin(const struct state *from, struct sink *x)
{
	struct memory *m = x->memory;

	if (!m)
		m = x->memory = wanted(calloc(1, sizeof *m));
	m->from = m->seen = from;
	m->made = NULL;
	m->count = 0;
	unpack(&m->now, from);
}

static enum mode mode_of(const struct rule *r, int l)
{
	bool one = r->mode == MODE_READ || r->mode == MODE_WRITE || r->mode == MODE_RMW;

	return one && l < 0 ? MODE_MANY : r->mode;
}

/* What some registers bring along; false if nothing. */
static bool gathered(const struct weak *w, uint64_t registers, struct view *v)
{
	*v = zero;
	for (uint64_t left = registers; left; left &= left - 1)
		join(v, &w->registers[__builtin_ctzll(left)]);
	return registers && any(v);
}

/* The oldest message that a step may read, after the barriers that it begins with. */
static int least_of(const struct weak *w, const struct rule *r, int l, bool exclusive)
{
	const struct agent *a = &w->agents[r->agent];
	int cur = at(&a->cur, l), acq = at(&a->acq, l), all = at(&w->barriers, l);

	if (r->entry != ENTRY_PLAIN)
		acq = all > acq ? all : acq;
	if (r->entry == ENTRY_BARRIER)
		return acq;
	return exclusive || r->entry == ENTRY_SYNC ? (acq > cur ? acq : cur) : cur;
}

unsigned weak_choices(const struct sink *x, uint32_t rule, int l)
{
	const struct memory *m = x->memory;
	const struct rule *r = &rules[rule];
	const struct agent *a = &m->now.agents[r->agent];
	unsigned choices = 0;
	struct view address;
	bool exclusive;
	int floor;

	if (l < 0)
		return 1;
	exclusive = r->mode == MODE_RMW && (r->always || places[l].lock);
	/* one that can fail reads like a relaxed load, and only what it finds decides what else it does */
	floor = r->mode == MODE_RMW && !exclusive ? at(&a->cur, l) : least_of(&m->now, r, l, exclusive);
	if (gathered(&m->now, r->address, &address))
		floor = at(&address, l) > floor ? at(&address, l) : floor;
	for (int i = floor; i < m->now.count[l]; i++)
		if (!exclusive || !(m->now.flags[l][i] & HAS_ATT))
			choices |= 1u << i;
	return choices;
}

void weak_view(const struct sink *x, int l, int i, uint64_t *s)
{
	const struct memory *m = x->memory;

	memcpy(s, m->seen->w, LZ_BASE * sizeof *s);
	if (l >= 0 && i < m->now.count[l] - 1)
		set_value(s, l, m->now.values[l][i]);
}

/* Memory as it was. */
static void restore(struct state *n, const struct state *from)
{
	for (int k = 0; k < LZ_BASE; k++)
		n->w[k] = (n->w[k] & ~in_memory[k]) | (from->w[k] & in_memory[k]);
}

static bool differs(const uint64_t *s, const struct state *n, int l)
{
	uint64_t difference = 0;

	for (int c = 0; c < places[l].words; c++)
		difference |= (s[places[l].word[c]] ^ n->w[places[l].word[c]]) & places[l].mask[c];
	return difference;
}

/* The memory as a step finds it, after the barriers that come with it. */
static struct weak *begun(struct memory *m, const struct rule *r, enum entry entry)
{
	struct weak *w = &m->work;

	copy(w, &m->now);
	if (entry == ENTRY_SYNC)
		synchronise(w, r->agent);
	else if (entry == ENTRY_BARRIER)
		full_barrier(w, r->agent);
	return w;
}

static void done(struct sink *x, uint32_t rule, struct weak *w, struct state *n)
{
	struct memory *m = x->memory;
	struct agent *a = &w->agents[rules[rule].agent];

	if (rules[rule].barrier) {
		/* what the hardware has stored through what is taken from it has been waited for */
		for (uint64_t left = m->told; left; left &= left - 1)
			join(&a->acq, &w->agents[__builtin_ctzll(left)].own);
		full_barrier(w, rules[rule].agent);
	}
	for (uint64_t left = m->told; left; left &= left - 1) {
		struct agent *walker = &w->agents[__builtin_ctzll(left)];

		join(&walker->cur, &a->acq);
		join(&walker->acq, &a->acq);
	}
	for (unsigned k = 0; k < walker_count; k++) {
		struct agent *cpu = &w->agents[walkers[k].cpu];

		if (walkers[k].agent != rules[rule].agent)
			continue;
		/* what the hardware of a CPU has stored comes before what the CPU does next */
		join(&cpu->cur, &a->own);
		join(&cpu->acq, &a->own);
		join(&cpu->own, &a->own);
	}
	x->dropped |= tidied(w, n);
	renumber(w, n);
	for (int k = LZ_BASE; k < LZ_WORDS; k++)
		n->w[k] = 0;
	x->cramped |= !pack(w, n);
	for (size_t i = 0; i < m->count; i++)
		if (m->found[i].rule == rule && state_equal(&m->found[i].state, n))
			return;
	if (m->count == m->room) {
		m->room = m->room ? 2 * m->room : 64;
		m->found = wanted(realloc(m->found, m->room * sizeof *m->found));
	}
	m->found[m->count].rule = rule;
	m->found[m->count++].state = *n;
}

/* The views of the registers after a step that has read what publishes `seen`. */
static void set_registers(struct weak *w, const struct rule *r, const struct view *seen)
{
	struct view before[LZ_REGISTERS + 1];

	if (r->flows == r->flows_end)
		return;
	memcpy(before, w->registers, sizeof before);
	for (uint32_t k = r->flows; k < r->flows_end; k++) {
		const struct flow *f = &flows[k];
		struct view v = f->read && seen ? *seen : zero;

		for (uint64_t left = f->sources; left; left &= left - 1)
			join(&v, &before[__builtin_ctzll(left)]);
		if (!f->always)
			join(&v, &before[f->target]);
		w->registers[f->target] = v;
	}
}

static void put_read(struct sink *x, uint32_t rule, int l, int i, const uint64_t *s, struct state *n)
{
	struct memory *m = x->memory;
	const struct rule *r = &rules[rule];
	bool written = r->mode == MODE_RMW && (r->always || differs(s, n, l));
	bool fails = r->mode == MODE_RMW && !written && !places[l].lock;
	bool acquire = (r->order == ORDER_ACQUIRE && !fails) || m->flagged, known = true, addressed;
	struct weak *w;
	uint64_t value[LZ_SPREAD];
	struct view seen, address, dep;

	if (written && (i < least_of(&m->now, r, l, true) || m->now.flags[l][i] & HAS_ATT))
		return;
	w = begun(m, r, fails ? ENTRY_PLAIN : r->entry);
	value_of(n, l, value);
	restore(n, m->from);
	addressed = gathered(w, r->address, &address);
	if (!written) {
		known = !r->hardware;
		if (known)
			seen = load(w, r->agent, l, i, acquire);
	} else if (places[l].lock && r->order == ORDER_ACQUIRE) {
		take_lock(w, r->agent, l, i, value, n);
		known = false;
	} else {
		bool depends = gathered(w, r->stores, &dep);

		seen = update(w, r->agent, l, i, value, n, acquire, r->order == ORDER_RELEASE, depends ? &dep : NULL);
		if (r->order == ORDER_FULL)
			full_barrier(w, r->agent);
	}
	if (known && addressed)
		join(&seen, &address);
	set_registers(w, r, known ? &seen : NULL);
	done(x, rule, w, n);
}

static void put_write(struct sink *x, uint32_t rule, int l, const struct state *n)
{
	struct memory *m = x->memory;
	const struct rule *r = &rules[rule];
	const struct agent *a = &m->now.agents[r->agent];
	int seen = at(&a->acq, l), count = m->now.count[l];
	uint64_t value[LZ_SPREAD];

	if (r->entry != ENTRY_PLAIN && at(&m->now.barriers, l) > seen)
		seen = at(&m->now.barriers, l);
	value_of(n, l, value);
	for (int p = places[l].lock ? count : seen + 1; p <= count; p++) {
		struct state to = *n;
		struct view dep;
		struct weak *w;
		bool depends;

		if (m->now.flags[l][p - 1] & HAS_ATT)
			continue;
		w = begun(m, r, r->entry);
		restore(&to, m->from);
		depends = gathered(w, r->stores, &dep);
		store(w, r->agent, l, p, value, &to, r->order == ORDER_RELEASE, places[l].lock, NULL, depends ? &dep : NULL);
		set_registers(w, r, NULL);
		done(x, rule, w, &to);
	}
}

static void put_other(struct sink *x, uint32_t rule, enum mode mode, struct state *n)
{
	struct memory *m = x->memory;
	const struct rule *r = &rules[rule];
	struct weak *w = begun(m, r, r->entry);
	uint64_t changed = 0;

	if (mode == MODE_MANY || mode == MODE_FREED)
		full_barrier(w, r->agent);
	for (int k = 0; k < LZ_BASE; k++)
		changed |= (n->w[k] ^ m->from->w[k]) & in_memory[k];
	for (int l = 0; changed && l < LZ_LOCATIONS; l++)
		if (differs(m->from->w, n, l))
			forget(w, l);
	if (mode == MODE_MANY)
		full_barrier(w, r->agent);
	if (mode == MODE_FREED)
		forget_gone(w, m->from, n);
	if (mode == MODE_NONE)
		for (uint64_t fences = r->fences; fences; fences >>= 4)
			fence(w, r->agent, fences & 15);
	set_registers(w, r, NULL);
	done(x, rule, w, n);
}

#include "weaklate.h"

void weak_put(struct sink *x, uint32_t rule, int l, int i, const uint64_t *s, struct state n)
{
	struct memory *m = x->memory;
	const struct rule *r = &rules[rule];
	enum mode mode = mode_of(r, l);

	if (m->made ? rule != m->made->rule : waits(&m->now, r, mode, l)) {
		m->told = 0;
		return;
	}
	if (m->made)
		stay(m, r, &n);
	if (mode == MODE_WRITE)
		put_write(x, rule, l, &n);
	else if (mode == MODE_READ || mode == MODE_RMW)
		put_read(x, rule, l, i, s, &n);
	else
		put_other(x, rule, mode, &n);
	m->told = 0;
}

void weak_tell(struct sink *x, uint64_t walkers)
{
	((struct memory *)x->memory)->told = walkers;
}

void weak_fault(struct sink *x, uint32_t rule, int l)
{
	struct memory *m = x->memory;
	const struct rule *r = &rules[rule];

	m->faulted = true;
	if (m->made || !waits(&m->now, r, mode_of(r, l), l))
		sink_fault(x, rule);
}

void weak_end(struct sink *x)
{
	const struct memory *m = x->memory;

	for (size_t i = 0; i < m->count; i++)
		model_put(x, m->found[i].rule, m->found[i].state);
}
