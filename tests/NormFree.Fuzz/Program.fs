module NormFree.Fuzz.Program

open System.Globalization
open System.IO

let private usage =
    "NormFree.Fuzz campaign MINUTES [TARGET…]   fuzzes each target with AFL++ and stores the inputs that take new branches
NormFree.Fuzz collect [FOLDER]              stores and records what has run in artifacts/fuzz, or in that folder of another clone
NormFree.Fuzz check TARGET FILE…           reads files, or all files of folders, as inputs of a target
NormFree.Fuzz add TARGET FILE…             stores files as inputs of a target
NormFree.Fuzz list                         the targets"

let private bytesOf paths = [ for path in paths -> File.ReadAllBytes path ]

let private filesOf path =
    if Directory.Exists path then
        List.ofArray (Directory.GetFiles path)
    else
        [ path ]

/// The exit code is 1 if an input breaks the contract.
let private check target paths =
    let holds path =
        try
            Contract.check target (File.ReadAllBytes path)
            true
        with error ->
            eprintfn $"{path}: {error}"
            false

    let broken = paths |> List.filter (holds >> not)
    printfn $"{paths.Length} inputs, {broken.Length} break the contract"
    min broken.Length 1

let private minimise target folders output =
    Directory.CreateDirectory output |> ignore

    for bytes in folders |> Seq.collect Directory.GetFiles |> bytesOf |> Coverage.minimise target do
        File.WriteAllBytes(Path.Combine(output, Corpus.nameOf bytes), bytes)

/// One execution for each input that AFL++ sends.
let private run target =
    SharpFuzz.Fuzzer.Run(fun (stream: Stream) ->
        use copy = new MemoryStream()
        stream.CopyTo copy
        Contract.check target (copy.ToArray()))

[<EntryPoint>]
let main arguments =
    Coverage.start ()

    match List.ofArray arguments with
    | "campaign" :: minutes :: names ->
        let targets = if names.IsEmpty then Corpus.all else List.map Corpus.find names
        Campaign.start (System.Double.Parse(minutes, CultureInfo.InvariantCulture)) targets
    | [ "collect" ] -> Campaign.collect None Corpus.all
    | [ "collect"; folder ] -> Campaign.collect (Some folder) Corpus.all
    | [ "run"; name ] ->
        run (Corpus.find name)
        0
    | [ "minimise"; name; queue; stored; output ] ->
        minimise (Corpus.find name) [ queue; stored ] output
        0
    | "check" :: name :: paths -> check (Corpus.find name) (List.collect filesOf paths)
    | "add" :: name :: paths ->
        let target = Corpus.find name
        Corpus.write Ledger.corpus target (Corpus.read Ledger.corpus target @ bytesOf paths)
        0
    | [ "list" ] ->
        Corpus.all |> List.iter (fun target -> printfn $"{target.Name}")
        0
    | _ ->
        eprintfn $"{usage}"
        2
