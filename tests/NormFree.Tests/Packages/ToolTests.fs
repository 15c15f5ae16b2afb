/// The tool, installed from the package that -t Pack writes.
module NormFree.Tests.Packages.ToolTests

open System
open System.IO
open Expecto
open NormFree.Inference.Files
open NormFree.Tests
open NormFree.Tests.Data.Support

let private packages = Path.Combine(repository, "artifacts", "packages")

/// The version of the repository, which build.fsx packs.
let private version () =
    let project = Xml.Linq.XDocument.Load(Path.Combine(repository, "Directory.Build.props"))
    (project.Descendants(Xml.Linq.XName.Get "Version") |> Seq.head).Value

let private requirePackage () =
    let package = Path.Combine(packages, $"normfree.{version ()}.nupkg")

    if not (File.Exists package) then
        failtest $"{package} is missing: run 'dotnet fsi build.fsx -t Pack' first, or '-t Soak', which does so"

/// The installed tool, run in a folder of its own.
let private tool (folder: TempFolder) arguments =
    let program = if OperatingSystem.IsWindows() then "normfree.exe" else "normfree"
    Feed.runWith [] folder.Path (Path.Combine(folder.File "tools", program)) arguments

let tests =
    test "the packed tool is installed by 'dotnet tool install', and trains and classifies" {
        requirePackage ()
        use folder = new TempFolder()

        Feed.dotnet
            folder.Path
            [ "tool"
              "install"
              "normfree"
              "--tool-path"
              folder.File "tools"
              "--source"
              packages
              "--version"
              version () ]
        |> Feed.succeeds "dotnet tool install"
        |> ignore

        let shown arguments = tool folder arguments |> Feed.succeeds (String.concat " " arguments)
        Expect.stringContains (shown [ "--version" ]) (version ()) "the version"

        shown
            [ "train"
              "--width"
              "0.125"
              "--limit"
              "40"
              "--test-limit"
              "20"
              "--epochs"
              "1"
              "--batch"
              "10"
              "--out"
              "run" ]
        |> ignore

        let packed = folder.File "network.packed.safetensors"

        shown [ "export"; "--checkpoint"; "run/stage2.best.safetensors"; "--format"; "packed"; "--out"; packed ]
        |> ignore

        Expect.isTrue (PackedFile.IsPacked packed) "a packed network"
        let image = Path.Combine(repository, "docs", "demo.png")
        Expect.stringContains (shown [ "predict"; "--packed"; packed; image ]) "%" "a classified image"
        Expect.stringContains (shown [ "zoo" ]) "cifar10-reactnet18" "the zoo's networks come with the tool"
    }
