/// The sample script that turns a folder of images into a packed file.
module NormFree.Tests.Samples.OwnImagesTests

open System.Diagnostics
open System.IO
open Expecto
open NormFree.Data
open NormFree.Inference
open NormFree.Tests
open NormFree.Tests.Data.Support

let private script = "experiments/own-images.fsx"

/// Synthetic images of three classes in class folders.
let private drawFolder (folder: TempFolder) =
    let images = Synthetic.dataset 11L 300 300

    for split, source, count in [ "train", images.Train, 20; "test", images.Test, 5 ] do
        for label in 0..2 do
            Seq.init source.Count id
            |> Seq.filter (fun i -> source.Label i = label)
            |> Seq.truncate count
            |> Seq.iter (fun i ->
                folder.Write($"{split}/{images.Classes[label]}/{i}.png", png (ok (source.Load i))) |> ignore)

    List.truncate 3 (List.ofArray images.Classes)

let private codeLines path =
    File.ReadAllLines(Path.Combine(repository, path))
    |> Array.filter (fun line -> line.Trim() <> "" && not (line.StartsWith "//"))

let tests =
    test $"{script} has fifteen lines, which the tutorial shows" {
        let lines = codeLines script
        Expect.isLessThanOrEqual lines.Length 15 "lines"
        let page = String.concat "\n" (codeLines "docs/tutorials/own-images.md")
        Expect.stringContains page (String.concat "\n" lines) "DocsTests compiles the tutorial's code"
    }

let soak =
    test $"{script} trains on a folder of drawn images and writes a packed file" {
        use folder = new TempFolder()
        let classes = drawFolder folder
        let run = Path.Combine(repository, "runs", DirectoryInfo(folder.Path).Name)

        let arguments = [ "fsi"; script; folder.Path; "--epochs"; "2"; "--size"; "32"; "--width"; "0.25" ]

        let info =
            ProcessStartInfo(
                "dotnet",
                arguments,
                WorkingDirectory = repository,
                RedirectStandardError = true,
                RedirectStandardOutput = true
            )

        try
            use fsi = nonNull (Process.Start info)
            let out, err = fsi.StandardOutput.ReadToEndAsync(), fsi.StandardError.ReadToEndAsync()
            fsi.WaitForExit()
            Expect.equal fsi.ExitCode 0 (out.Result + err.Result)
            use network = PackedNetwork.Load(Path.Combine(run, "packed.safetensors"))
            Expect.equal (Seq.sort network.ClassNames |> List.ofSeq) (List.sort classes) "classes"
            Expect.equal network.Height 32 "size"
        finally
            if Directory.Exists run then
                Directory.Delete(run, true)
    }
