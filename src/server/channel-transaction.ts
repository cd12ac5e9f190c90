/** The classes tx and confirm. A channel is in one of the two modes, or in none. */
import type { Handlers } from './channel-methods.ts'
import { preconditionFailed } from './refusal.ts'

export const transactionMethods: Handlers = {
  'confirm.select': (channel, { nowait }) => {
    channel.session.confirmSelect()
    channel.reply({ type: 'confirm.select-ok' }, nowait)
  },
  'tx.select': (channel) => {
    channel.session.txSelect()
    channel.reply({ type: 'tx.select-ok' })
  },
  'tx.commit': (channel) => {
    const complete = channel.session.txCommit(channel.connection.nowMs)
    channel.connection.changes.published()
    if (!complete) throw preconditionFailed('partial tx completion')
    channel.replyWhenDurable({ type: 'tx.commit-ok' })
  },
  'tx.rollback': (channel) => {
    channel.session.txRollback()
    channel.reply({ type: 'tx.rollback-ok' })
  },
}
