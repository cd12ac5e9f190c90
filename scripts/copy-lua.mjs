// tsc copies no Lua: what src/drivers/redis/library.ts reads at run time goes beside it into dist.
import { cpSync } from 'node:fs'

cpSync('src/drivers/redis/lua', 'dist/drivers/redis/lua', { recursive: true })
