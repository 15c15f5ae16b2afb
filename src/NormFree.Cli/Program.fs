module NormFree.Cli.Program

[<EntryPoint>]
let main _ = 0
