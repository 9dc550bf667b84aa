/* Where nexuses live: initiator name, ISID, target and portal group -> the reactor that serves the session.
 * Simultaneous logins, reinstatements and added connections of one nexus thereby meet on one reactor. Also
 * counts, for each address, the connections that have not finished login. Guarded by a mutex: used at login,
 * never by the data path. */
#ifndef LUNETTE_SERVICE_DIRECTORY_H
#define LUNETTE_SERVICE_DIRECTORY_H

#include <stdint.h>

#include "target/iscsi/target.h"

struct directory;
struct directory_place;

int directory_new(const struct env *env, uint32_t reactors, struct directory **out);
void directory_free(struct directory *dir); /* every place and address has been released */

/* The nexus's home with one more reference; a new nexus goes to the reactor with the fewest, `here` when
 * several are equal. NULL when memory is out. TSIH does not count: a reinstatement asks for another one. */
struct directory_place *directory_enter(struct directory *dir, const struct tgt_nexus_key *key,
                                        uint32_t here);
uint32_t directory_home(const struct directory_place *place);
void directory_leave(struct directory *dir, struct directory_place *place); /* NULL is fine */
/* One reference more, by whoever holds one. */
void directory_hold(struct directory *dir, struct directory_place *place);
/* The place of a nexus, or NULL; no new reference. */
struct directory_place *directory_find(struct directory *dir, const struct tgt_nexus_key *key);

/* A connection of this address begins its login. ERR_BUSY: `max` of them already do; ERR_NOMEM. */
int directory_login_begin(struct directory *dir, const struct io_addr *from, uint32_t max);
void directory_login_end(struct directory *dir, const struct io_addr *from);

#endif
