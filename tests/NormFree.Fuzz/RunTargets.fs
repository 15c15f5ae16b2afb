/// The text files of run folders, and configuration files.
module NormFree.Fuzz.RunTargets

open System
open System.IO
open System.Text
open NormFree.Runs
open NormFree.Spec
open NormFree.Fuzz.Contract

let private same what before after =
    if before <> after then
        fail $"{what} changes when it is written again"

let private folderOf (path: string) : RunFolder = { Path = string (Path.GetDirectoryName path) }

/// A description that is read is the same after it is written and read again.
let private readDescription bytes =
    withFile "run.json" bytes (fun path ->
        let folder = folderOf path
        let run = RunFolder.readRun folder
        let description = RunFolder.readDescription folder
        RunFolder.describe folder description
        same "the description" (Json.write description) (Json.write (RunFolder.readDescription folder))
        // Rows of earlier versions are not written again.
        if description.Configuration.IsSome then
            same "the run" (Json.write run) (Json.write (RunFolder.readRun folder)))

let private readLog bytes =
    withFile "log.jsonl" bytes (fun path ->
        let folder = folderOf path

        RunFolder.describe folder { Label = ""; Arguments = []; Configuration = None; Places = None; Finished = false }

        let run = RunFolder.readRun folder
        run.Stages |> ignore
        RunFolder.writeLog folder run.Epochs
        same "the log" (Json.write run) (Json.write (RunFolder.readRun folder)))

/// A network that is read is the same after it is written and read again.
let private readNetwork bytes =
    let read bytes =
        let mutable net = Unchecked.defaultof<NetSpec>
        withFile "network.json" bytes (fun path -> net <- NetworkJson.read path)
        net

    let text = NetworkJson.write (read bytes)
    same "the network" text (NetworkJson.write (read (Encoding.UTF8.GetBytes text)))

let private readConfusion bytes =
    withFile "confusion.json" bytes (fun path ->
        let folder = folderOf path

        match ConfusionFile.read folder with
        | Some confusion ->
            ConfusionFile.write folder confusion
            same "the matrix" (Json.write confusion) (Json.write (Option.get (ConfusionFile.read folder)))
        | None -> fail "the file was not found")

let private defaults: RunConfiguration =
    { Network = NetworkConfiguration.Of "reactnet-small"
      Dataset = DatasetConfiguration.Empty
      Stage1 = None
      Stage2 = None
      Init = None
      Execution =
        { Device = Cpu
          Engine = Fused
          Precision = Float32
          Threads = None
          Workers = None
          Strict = false
          Keep = 1
          CheckpointEvery = 10.0
          OnNonFinite = OnNonFinite.Stop
          Telemetry = Sampling.Default
          Accumulate = 1 }
      Facts = None
      Environment = None
      Changes = [] }

let private parse text =
    match ConfigurationFile.parse "input" defaults text with
    | Error [] -> fail "an error without a reason"
    | other -> other

/// A configuration that is read is the same after it is written and read again. Problems are short.
let private readConfiguration (bytes: byte[]) =
    match parse (Encoding.UTF8.GetString bytes) with
    | Ok configuration ->
        match parse (ConfigurationFile.write configuration) with
        | Ok again -> same "the configuration" (Json.write configuration) (Json.write again)
        | Error problems -> fail $"the written configuration is rejected: {problems.Head}"
    | Error problems ->
        if problems |> List.exists (fun problem -> problem.Length > 20000) then
            fail "a problem is long"

let targets =
    [ { Name = "run-json"; MaxBytes = 16384; Factor = 4000L; Read = readDescription }
      { Name = "log-jsonl"; MaxBytes = 4096; Factor = 4000L; Read = readLog }
      { Name = "network-json"; MaxBytes = 8192; Factor = 4000L; Read = readNetwork }
      { Name = "confusion-json"; MaxBytes = 2048; Factor = 4000L; Read = readConfusion }
      { Name = "configuration"; MaxBytes = 16384; Factor = 4000L; Read = readConfiguration } ]
