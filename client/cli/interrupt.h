#ifndef TOME_CLIENT_CLI_INTERRUPT_H_
#define TOME_CLIENT_CLI_INTERRUPT_H_

namespace tome::client {

// From now on the first SIGINT or SIGTERM only asks the command to end; a second one kills it.
void CatchInterrupts();

// Whether one came since.
bool Interrupted();

}  // namespace tome::client

#endif  // TOME_CLIENT_CLI_INTERRUPT_H_
