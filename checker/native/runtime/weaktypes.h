/* What the generated part says of a model under the weak memory model, in tables. */
#ifndef LZ_WEAKTYPES_H
#define LZ_WEAKTYPES_H

#include <stdbool.h>
#include <stdint.h>

enum mode { MODE_NONE, MODE_READ, MODE_WRITE, MODE_RMW, MODE_MANY, MODE_BORN, MODE_FREED };
enum order { ORDER_NONE, ORDER_ACQUIRE, ORDER_RELEASE, ORDER_FULL };
enum entry { ENTRY_PLAIN, ENTRY_SYNC, ENTRY_BARRIER };
enum { FENCE_WMB = 1, FENCE_RMB, FENCE_MB };
enum { NEXT_NOTHING = -1, NEXT_OTHER = -2, NEXT_BARRIER = -3 };

struct rule {
	uint8_t agent, mode, order, entry;
	bool always, hardware, barrier; /* writes whatever it reads; made by no software; a full barrier at the end */
	uint64_t fences;                /* four bits each, the first one lowest */
	uint16_t control, kind;         /* where its thread is; its column in `forces` */
	uint32_t flows, flows_end;      /* the registers that it sets */
	uint64_t address, stores;       /* registers in its index, and those that what it stores comes from */
};

/* A step that may be put off: which, what its thread's function is and where the thread is before it. */
struct late {
	uint32_t rule;
	uint16_t group, at, kind; /* its row in `forces`, its row and column in `enters` and `ordered` */
	bool early, writes;       /* also when nothing else is; stores without reading */
};

/* Why an access that is put off must be made before a step. */
enum { FORCE_ALWAYS = 1 };

/* A step sets a register: from what it has read, from registers; for certain. */
struct flow {
	uint8_t target;
	bool read, always;
	uint64_t sources;
};

/* Some bits of a word of the packed state; `part` says which of its location's words that is. */
struct piece {
	uint8_t word, part, shift;
	uint64_t mask;
	int lo;
};

/* Where a location lies in the packed state; of a lock, where it says who holds it. */
struct place {
	uint8_t words, word[LZ_SPREAD];
	uint64_t mask[LZ_SPREAD];
	bool lock;
	struct piece holder;
};

/* A control variable. */
struct control {
	uint8_t word, shift;
	uint64_t mask;
	unsigned lo;
};

/*
 * From some place of a text on: the locations that may be accessed, those before a full barrier, those before that or a
 * lock, and which of these can come first.
 */
struct ahead {
	uint64_t need, exposed, before_any, firsts;
};

#define BARRIER_AHEAD (UINT64_C(1) << 63)

/* A control variable that tells something of an agent: `first` is where its table begins. */
struct tells {
	uint16_t control;
	uint32_t first;
};

/* The hardware of a CPU that walks its page tables, and the CPU. */
struct walker {
	uint8_t agent, cpu;
};

/* Where a generation is kept: in a location or not (-1), of its family's counters the one at `head`, or that which `of` says. */
struct generation {
	int location, head, family; /* the number of the family's first counter */
	unsigned number_of_family;
	struct piece number, of;
	bool has_of;
};

/* An object with counters: of which families. */
struct owner {
	struct piece live;
	int element;
	uint64_t counters;
};

/* In a file of their own, so that what works with them is compiled once for models of the same sizes. */
extern const uint64_t in_memory[]; /* the bits of all locations */
extern const struct place places[];
extern const uint64_t newest; /* the locations of which only the last message can be read */
extern const struct control controls[];
extern const struct rule rules[];
extern const struct flow flows[];
extern const uint64_t users[]; /* of a register, the agents */
extern const struct ahead aheads[];
extern const int8_t nexts[];
extern const struct tells telling[], following[]; /* of each agent, from telling_begin and following_begin on */
extern const uint32_t telling_begin[], following_begin[];
extern const struct walker walkers[];
extern const unsigned walker_count;
extern const uint64_t silent; /* the agents that only read, and learn nothing from it */
extern const struct late lates[];
extern const unsigned rule_kinds, late_kinds;
extern const bool forces[], enters[], ordered[]; /* tables with a row for each kind of what may be put off */
extern const struct generation generations[];
extern const unsigned generation_count;
extern const struct owner owners[];
extern const unsigned owner_count;

#endif
