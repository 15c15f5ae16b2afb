/// Exports, reports and downloads, whose result is one file.
module NormFree.Tests.SystemCalls.WrittenFiles

open System.IO
open System.Text
open Expecto
open NormFree.Data
open NormFree.Runs
open NormFree.Spec
open NormFree.Training
open NormFree.Tests
open NormFree.Tests.Cli
open NormFree.Tests.Data
open NormFree.Tests.Training.Support
open NormFree.Tests.SystemCalls.Operation

/// The checkpoint of a small trained network with binary weights, and its run.
let private trained =
    lazy
        (let folder = Tool.scratch.File "system calls run"

         Pipeline.from (Synthetic.dataset 3L 20 10)
         |> Pipeline.into folder
         |> Pipeline.train { quick with Epochs = 1 } (tiny (BnFree 0.2))
         |> Pipeline.binariseWeights { quick with Epochs = 1 }
         |> Pipeline.finish
         |> ignore

         RunFolder.at folder)

/// An operation that replaces the old file by a page or export. `read` makes results of two folders comparable, and `isNew` compares one with the expected.
let private replacing
    name
    prepare
    run
    (target: string -> string)
    (read: string -> byte[] -> 'a)
    (isNew: 'a -> 'a -> bool)
    =
    let prepare folder =
        prepare folder
        File.WriteAllBytes(target folder, old)

    let expected =
        undisturbed prepare (run >> ignore) (fun folder -> read folder (File.ReadAllBytes(target folder)))

    { Name = name
      Prepare =
        fun folder ->
            expected.Force() |> ignore
            prepare folder
      Watched = id
      Run = run
      Check =
        fun folder ending ->
            expectClear folder ending
            expectNoLeftovers folder "after the end"
            expectWhole (read folder >> isNew expected.Value) (target folder) ending }

let private export format =
    let source folder = Path.Combine(folder, "in.safetensors")
    let target folder = Path.Combine(folder, "out")
    let run folder = tool [ "export"; "--checkpoint"; source folder; "--format"; format; "--out"; target folder ]
    let prepare folder = File.Copy(trained.Value.Last 2, source folder)
    replacing $"export {format}" prepare run target (fun _ bytes -> bytes) (=)

/// A report. A part of the run that cannot be read is left out of it, with the reason.
let private report (extension: string) =
    let page folder = Path.Combine(folder, "page" + extension)
    let run folder = tool [ "report"; folder; "--no-speed"; "--out"; page folder ]

    // Reports name the run by its folder.
    let neutral (folder: string) (bytes: byte[]) =
        (Encoding.UTF8.GetString bytes).Replace(folder, "FOLDER").Replace(string (Path.GetFileName folder), "NAME")

    let reasons (text: string) = text.Split("FOLDER").Length
    let lastOf (text: string) = text.TrimEnd().Split('\n') |> Array.last

    let isNew expected text = text = expected || reasons text > reasons expected && lastOf text = lastOf expected

    replacing $"report {extension}" (fun folder -> copy trained.Value.Path folder) run page neutral isNew

/// A download that begins, or resumes a partial file.
let private download (part: byte[]) =
    let server = lazy (new DownloadServer.Server(DownloadServer.ranged))
    let target folder = Path.Combine(folder, "set.tar.gz")
    let run folder = DownloadServer.download (DownloadServer.requestInto folder server.Value.Address)

    { Name = $"download from byte {part.Length}"
      Prepare =
        fun folder ->
            if part.Length > 0 then
                File.WriteAllBytes(target folder + ".part", part)
      Watched = id
      Run =
        fun folder ->
            match run folder with
            | Ok _ -> { Code = 0; Err = ""; Warnings = [] }
            | Error error -> { Code = failed; Err = $"normfree: {error}"; Warnings = [] }
      Check =
        fun folder ending ->
            expectClear folder ending

            if File.Exists(target folder) then
                Expect.equal (File.ReadAllBytes(target folder)) DownloadServer.content "the bytes under the final name"
            else
                Expect.equal ending.Code failed "a download without its file"

            Expect.isOk (run folder) "the next download"
            Expect.equal (filesOf folder) [ "set.tar.gz" ] "files after the next download" }

/// Operations without libtorch.
let light = [ download [||]; download DownloadServer.content[..199_999] ]

let operations =
    light
    @ [ for format in [ "packed"; "safetensors"; "pytorch"; "onnx" ] -> export format ]
    @ [ for extension in [ ".html"; ".md" ] -> report extension ]
