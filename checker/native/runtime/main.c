/* The program around a model: options from the command line, initial states from stdin, results to stdout. */
#include "engine.h"

#include <signal.h>
#include <stdlib.h>

static struct search search;

static void interrupt(int signal)
{
	int none = LIMIT_NONE;

	(void)signal;
	atomic_compare_exchange_strong(&search.limit, &none, (int)LIMIT_INTERRUPTED);
	atomic_store(&search.pause, 1);
}

static bool number_option(const char *argument, const char *name, uint64_t *value)
{
	size_t length = strlen(name);

	if (strncmp(argument, name, length) || argument[length] != '=')
		return false;
	*value = strtoull(argument + length + 1, NULL, 0);
	return true;
}

static void read_options(struct options *o, int count, char **arguments)
{
	*o = (struct options){.threads = 1, .states = UINT64_MAX, .depth = UINT64_MAX, .seconds = -1, .edges = true};
	o->memory = (uint64_t)machine_memory() / 10 * 9;
	for (int i = 1; i < count; i++) {
		uint64_t value;

		if (!strncmp(arguments[i], "dump=", 5)) {
			o->dump = arguments[i] + 5;
			continue;
		}
		if (number_option(arguments[i], "threads", &value))
			o->threads = value < 1 ? 1 : value > LZ_MAX_THREADS ? LZ_MAX_THREADS : (unsigned)value;
		else if (number_option(arguments[i], "states", &value))
			o->states = value;
		else if (number_option(arguments[i], "depth", &value))
			o->depth = value;
		else if (number_option(arguments[i], "milliseconds", &value))
			o->seconds = (double)value / 1000;
		else if (number_option(arguments[i], "memory", &value))
			o->memory = value;
		else if (number_option(arguments[i], "fingerprints", &value))
			o->fingerprints = value;
		else if (number_option(arguments[i], "edges", &value))
			o->edges = value;
		else if (number_option(arguments[i], "stop_on", &value)) {
			o->stop = value ? STOP_ALL : STOP_NEVER;
			o->stop_on = value;
		} else {
			fprintf(stderr, "what is %s?\n", arguments[i]);
			exit(2);
		}
	}
}

static void read_initial(struct search *q)
{
	if (fread(&q->initials, sizeof q->initials, 1, stdin) != 1)
		exit(2);
	q->initial = wanted(malloc((q->initials + 1) * sizeof *q->initial));
	if (fread(q->initial, sizeof *q->initial, q->initials, stdin) != q->initials)
		exit(2);
}

static void make_workers(struct search *q)
{
	q->workers = wanted(aligned_alloc(128, (sizeof *q->workers + 127) / 128 * 128 * q->threads));
	memset(q->workers, 0, sizeof *q->workers * q->threads);
	for (unsigned i = 0; i < q->threads; i++) {
		struct worker *w = &q->workers[i];

		w->id = i;
		w->arena = &q->arenas[i];
		if (q->edges && (!region_reserve(&w->targets, machine_memory()) ||
				 (model_turns && !region_reserve(&w->turns, machine_memory())) ||
				 !region_reserve(&w->degrees, machine_memory()) ||
				 !region_reserve(&w->stretches, machine_memory())))
			drop_edges(q);
		w->sink.strong = q->options.fingerprints;
		w->sink.fired = wanted(calloc(model_rules + 1, sizeof *w->sink.fired));
	}
}

/* All states as they are packed, one after the other. */
static void dump_states(const struct search *q)
{
	FILE *file = fopen(q->options.dump, "wb");

	if (!file)
		exit(2);
	for (unsigned i = 0; i < q->threads; i++) {
		const struct arena *a = &q->arenas[i];
		uint32_t found = atomic_load(&a->count);

		if (fwrite(a->states.at, sizeof(struct state), found, file) != found)
			exit(2);
	}
	if (fclose(file))
		exit(2);
}

static void report_counts(const struct search *q, uint64_t stored)
{
	static const char *const limits[] = {"none", "states", "depth", "seconds", "memory", "interrupted"};
	uint64_t states = 0, transitions = 0;

	for (unsigned i = 0; i < q->threads; i++) {
		states += atomic_load(&q->arenas[i].count);
		transitions += atomic_load(&q->workers[i].transitions);
	}
	for (uint32_t rule = 0; rule < model_rules; rule++) {
		uint64_t fired = 0;

		for (unsigned i = 0; i < q->threads; i++)
			fired += q->workers[i].sink.fired[rule];
		if (fired)
			printf("fired %u %llu\n", rule, (unsigned long long)fired);
	}
	printf("marks %llu\n", (unsigned long long)q->marks);
	if (q->undefined || q->outgrown) {
		printf("%s", q->undefined ? "undefined" : "outgrown");
		for (int k = 0; k < LZ_WORDS; k++)
			printf(" %llx", (unsigned long long)q->trouble.w[k]);
		putchar('\n');
	}
	if (q->dropped || q->refused || q->cramped)
		printf("weak %d %d %d\n", q->dropped, q->refused, q->cramped);
	printf("done %llu %llu %u %s %d %d %d %.6f %.3f %llu\n", (unsigned long long)states,
	       (unsigned long long)transitions, q->level, limits[atomic_load(&q->limit)], q->complete, q->cut,
	       q->leaks_unknown, now_seconds() - q->started, (double)peak_bytes() / (1 << 20),
	       (unsigned long long)stored);
}

int main(int count, char **arguments)
{
	struct search *q = &search;
	struct sigaction action = {.sa_handler = interrupt, .sa_flags = SA_RESTART};
	uint64_t stored;

	the_search = q;
	sigaction(SIGINT, &action, NULL);
	read_options(&q->options, count, arguments);
	q->threads = q->options.threads;
	while ((1u << q->thread_bits) < q->threads)
		q->thread_bits++;
	q->violable = ~model_marks;
	q->edges = model_leaks && q->options.edges && !q->options.fingerprints;
	pthread_mutex_init(&q->mutex, NULL);
	pthread_cond_init(&q->met, NULL);
	read_initial(q);
	make_workers(q);
	store_init(q);
	/* besides, each worker's states and three kinds of notes for leaks, each begun in a page that is not full */
	q->base = resident_bytes() + region_waste() * (q->threads * (q->edges ? 4 + model_turns : 1) + 1);
	search_run(q);
	if (model_leaks && q->options.fingerprints)
		q->leaks_unknown = true;
	else if (q->complete && model_leaks)
		leak_find(q);
	for (unsigned i = 0; i < q->threads; i++)
		q->workers[i].sink.pending = 0;
	stored = stored_bytes(q);
	if (q->options.dump)
		dump_states(q);
	if (q->options.fingerprints)
		depths_report(q);
	else
		paths_report(q);
	report_counts(q, stored);
	return fflush(stdout) ? 1 : 0;
}
