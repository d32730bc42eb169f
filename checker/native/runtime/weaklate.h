/* Accesses that are put off, and made later: part of weakmachine.h; see checker/core/memory/defer.py. */

/* Whether a step cannot be made while its agent puts something off. */
static bool waits(const struct weak *w, const struct rule *r, enum mode mode, int l)
{
	const struct deferred *d = w->deferred[r->agent];
	int count = w->pending[r->agent];

	if (!LZ_DEFER || !count || r->hardware)
		return false;
	if (rules[lates[d->late].rule].control != r->control)
		return true; /* another thread, or a handler, of the same CPU */
	if (mode == MODE_MANY || mode == MODE_BORN || mode == MODE_FREED)
		return true;
	for (int k = 0; k < count; k++) {
		if (forces[lates[d[k].late].kind * rule_kinds + r->kind] || (l >= 0 && d[k].location == l + 1))
			return true;
		if (d[k].flagged && (mode == MODE_READ || mode == MODE_RMW))
			return true;
	}
	return false;
}

/* Whether a step may be put off behind what is deferred already. */
static bool may_enter(const struct weak *w, const struct rule *r, const struct late *late, enum mode mode)
{
	const struct deferred *d = w->deferred[r->agent];
	int count = w->pending[r->agent];

	if (!count)
		return late->early;
	if (rules[lates[d->late].rule].control != r->control)
		return false;
	for (int k = 0; k < count; k++)
		if (!enters[lates[d[k].late].kind * late_kinds + late->kind])
			return false;
	return mode == MODE_READ || mode == MODE_WRITE || mode == MODE_RMW;
}

/* Whether a deferred access may be made before those in front of it. */
static bool may_run(const struct deferred *d, int k)
{
	const struct late *late = &lates[d[k].late];

	for (int i = 0; i < k; i++)
		if (d[i].location == d[k].location || ordered[lates[d[i].late].kind * late_kinds + late->kind] ||
		    (d[i].flagged && !late->writes))
			return false;
	return true;
}

/* The thread goes on, and the step is made later: `n` is where it goes on. */
void weak_put_off(struct sink *x, uint32_t rule, unsigned late, int l, struct state n)
{
	struct memory *m = x->memory;
	const struct rule *r = &rules[rule];
	struct weak *w;
	int count = m->now.pending[r->agent];

	if (m->made || m->faulted || !may_enter(&m->now, r, &lates[late], mode_of(r, l)))
		return;
	if (count >= LZ_DEFER) {
		x->refused = true;
		return;
	}
	w = begun(m, r, ENTRY_PLAIN);
	w->deferred[r->agent][count] = (struct deferred){.late = (uint16_t)late, .location = (uint8_t)(l + 1)};
	w->pending[r->agent]++;
	done(x, rule, w, &n);
}

/* A place where something may be put off, before its steps. */
void weak_place(struct sink *x)
{
	((struct memory *)x->memory)->faulted = false;
}

static void set_control(struct state *n, const struct control *k, uint64_t bits)
{
	n->w[k->word] = (n->w[k->word] & ~(k->mask << k->shift)) | bits << k->shift;
}

/* What was put off is made, and its thread is where it was. */
static void stay(const struct memory *m, const struct rule *r, struct state *n)
{
	const struct control *k = &controls[r->control];

	set_control(n, k, m->from->w[k->word] >> k->shift & k->mask);
}

void weak_make(struct sink *x, weak_steps *const *steps)
{
	struct memory *m = x->memory;

	for (int a = 0; a < LZ_AGENTS; a++)
		for (int k = 0; k < m->now.pending[a]; k++) {
			struct deferred all[LZ_DEFER + 1];
			const struct late *late = &lates[m->now.deferred[a][k].late];
			const struct control *control = &controls[rules[late->rule].control];
			struct state then = *m->from;

			if (!may_run(m->now.deferred[a], k))
				continue;
			memcpy(all, m->now.deferred[a], sizeof all);
			memmove(&m->now.deferred[a][k], &all[k + 1], (size_t)(m->now.pending[a] - k - 1) * sizeof *all);
			m->now.pending[a]--;
			set_control(&then, control, late->at - control->lo);
			m->seen = &then;
			m->made = late;
			m->flagged = all[k].flagged;
			steps[late->group](&then, x);
			m->seen = m->from;
			m->made = NULL;
			m->flagged = false;
			memcpy(m->now.deferred[a], all, sizeof all);
			m->now.pending[a]++;
		}
}
