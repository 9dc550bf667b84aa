/* lunette-target: the iSCSI target service and the commands that manage it. */
#include "target/service/verbs.h"

int main(int argc, char **argv)
{
    return verbs_run(argc - 1, argv + 1);
}
