/// Programs outside the repository that reference nothing but the packages.
module NormFree.Tests.Packages.ConsumerTests

open System
open System.IO
open Expecto
open NormFree.Inference
open NormFree.Inference.Files
open NormFree.Tests
open NormFree.Tests.Inference

let private classify =
    """using System.Globalization;
using NormFree.Inference;

using var network = PackedNetwork.Load(args[0]);
var pixels = new byte[64 * 64 * 3];
for (var i = 0; i < pixels.Length; i++) pixels[i] = (byte)(i * 7);
var logits = new float[network.Classes];
network.Run(ImageInput.Of(network.Model, pixels, 64, 64), logits);
Console.WriteLine(string.Join(' ', logits.Select(logit => logit.ToString("R", CultureInfo.InvariantCulture))));
"""

/// What the program must print.
let private expected (model: string) =
    use network = PackedNetwork.Load model
    let pixels = Array.init (64 * 64 * 3) (fun i -> byte (i * 7))
    let logits: float32[] = Array.zeroCreate network.Classes
    network.Run(ImageInput.Of(network.Model, pixels, 64, 64), logits)
    String.Join(' ', logits |> Array.map _.ToString("R", Globalization.CultureInfo.InvariantCulture))

let private model () =
    let path = Path.Combine(Feed.folder (), "tiny.safetensors")
    PackedFile.Write(path, Models.tiny)
    path

let private inferenceProject () =
    Feed.project
        "inference"
        [ "inference.csproj", Feed.projectFile [ Feed.own "NormFree.Inference" ] ""
          "Program.cs", classify ]

let private train =
    """open NormFree.Data
open NormFree.Reporting
open NormFree.Runs
open NormFree.Spec
open NormFree.Training

let images =
    match Catalogue.load DatasetKind.Synthetic None { Catalogue.defaults with Synthetic = 40, 20 } with
    | Ok images -> images
    | Error problems -> failwithf "%A" problems

let recipe = { Recipe.corrected with Epochs = 1; Batch = 10 }
let net = ReActNet.reactNet18 { Width = 0.125; Depth = 1.0 } CifarStem |> Net.withClasses images.Classes.Length

let run =
    Pipeline.from images
    |> Pipeline.into "run"
    |> Pipeline.train recipe net
    |> Pipeline.binariseWeights recipe
    |> Pipeline.pack

run.Save "network.packed.safetensors"
"""

/// Decodes an image and draws a report: what uses SkiaSharp.
let private draw =
    train.Replace("open NormFree.Reporting\n", "open NormFree.Reporting\n")
    + """
Report.write "report.html" "A run" [ ReportedRun.ofLog run.Log ]

match Decode.image (System.IO.File.ReadAllBytes "demo.png") with
| Ok image -> printfn $"{image.Width}×{image.Height}"
| Error problem -> failwithf "%O" problem
"""

let private trainingProject name references code =
    Feed.project
        name
        [ $"{name}.fsproj",
          (Feed.projectFile (Feed.own "NormFree.Training" :: references) "")
              .Replace("</Project>", """<ItemGroup><Compile Include="Program.fs" /></ItemGroup></Project>""")
          "Program.fs", code ]

let private runs (path: string) arguments = Feed.dotnet path ([ "run"; "-c"; "Release"; "--" ] @ arguments)

/// SkiaSharp 2 comes with the packages; programs that use a newer one lift both packages.
let private skia version =
    [ for name in [ "SkiaSharp"; "SkiaSharp.NativeAssets.Linux.NoDependencies" ] -> name, $"""Version="{version}" """ ]

let private requireFeed () =
    match Uri.TryCreate(Environment.GetEnvironmentVariable "NORMFREE_FEED", UriKind.Absolute) with
    | true, _ -> ()
    | _ -> skiptest "NORMFREE_FEED is not a web address; build.fsx sets it"

let private withReporting references = Feed.own "NormFree.Reporting" :: references

let tests =
    testList
        "consumers"
        [ test "a program that references NormFree.Inference runs a packed network" {
              let model = model ()
              let text = runs (inferenceProject ()) [ model ] |> Feed.succeeds "the program"
              Expect.equal (text.Trim()) (expected model) "logits"
          }

          for runtime in [ "win-x64"; "osx-arm64"; "linux-arm64" ] do
              test $"a program that references NormFree.Inference publishes for {runtime}" {
                  requireFeed ()
                  let path = inferenceProject ()
                  let output = Path.Combine(path, "publish", runtime)

                  Feed.dotnet
                      path
                      [ "publish"; "-c"; "Release"; "-r"; runtime; "--self-contained"; "false"; "-o"; output ]
                  |> Feed.succeeds "dotnet publish"
                  |> ignore

                  let name = if runtime.StartsWith "win" then "inference.exe" else "inference"
                  Expect.isTrue (File.Exists(Path.Combine(output, name))) "the program"
              }

          test "a program that references NormFree.Training trains and packs, without further calls" {
              let path = trainingProject "training" [] (train.Replace("open NormFree.Reporting\n", ""))
              runs path [] |> Feed.succeeds "the training" |> ignore
              Expect.isTrue (PackedFile.IsPacked(Path.Combine(path, "network.packed.safetensors"))) "the packed network"
              let natives = Path.Combine(path, "bin", "Release", "net10.0", "runtimes")

              let others =
                  [ "win-x64"; "osx-arm64" ]
                  |> List.filter (fun other -> Path.Exists(Path.Combine(natives, other, "native", "torch_cpu.dll")))

              Expect.isEmpty others "libtorch of other platforms is not copied into the build's output"
          }

          test "a new user's project finds the packages in a registered folder, as docs/packages.md says" {
              requireFeed ()
              let path = Feed.project "trainer" []

              let dotnet line (others: string list) =
                  let arguments = [ yield! (line: string).Split ' '; yield! others ]
                  Feed.dotnetOfUser path arguments |> Feed.succeeds $"dotnet {line}" |> ignore

              let feed = nonNull (Environment.GetEnvironmentVariable "NORMFREE_FEED")

              let known =
                  Feed.dotnetOfUser path [ "nuget"; "list"; "source" ] |> Feed.succeeds "dotnet nuget list source"

              dotnet "nuget add source --name normfree" [ Feed.packages () ]

              if not (known.Contains feed) then
                  dotnet "nuget add source --name feed" [ feed ]

              dotnet "new console --language F# --output ." []
              dotnet "add package NormFree.Training --version" [ Feed.version ]
              File.WriteAllText(Path.Combine(path, "Program.fs"), train.Replace("open NormFree.Reporting\n", ""))
              dotnet "run -c Release" []
              Expect.isTrue (PackedFile.IsPacked(Path.Combine(path, "network.packed.safetensors"))) "the packed network"
          }

          test "without libtorch, the error names the library and the package" {
              let without =
                  [ for platform in [ "linux-x64"; "win-x64"; "osx-arm64" ] ->
                        $"libtorch-cpu-{platform}", "Version=\"2.10.0\" ExcludeAssets=\"all\"" ]

              let path = trainingProject "without" without (train.Replace("open NormFree.Reporting\n", ""))
              let result = runs path []
              Expect.notEqual result.Code 0 "exit code"
              Expect.stringContains result.Text "libc10.so" "the library"
              Expect.stringContains result.Text "libtorch-cpu-linux-x64" "the remedy"
          }

          for version in [ "2.88.9"; "3.119.4"; "4.155.0" ] do
              test $"training, decoding and reports work with SkiaSharp {version}" {
                  requireFeed ()
                  let name = $"skia{version[0]}"
                  let path = trainingProject name (withReporting (skia version)) draw

                  File.Copy(Path.Combine(repository, "docs", "demo.png"), Path.Combine(path, "demo.png"), true)

                  let text = runs path [] |> Feed.succeeds "the program"
                  Expect.isFalse (text.Contains "NU1608") "no warning about versions"
                  Expect.stringContains text "×" "the decoded image"
              } ]
