/// The platforms of the tool, and its programs and packages for each of them.
module Platforms

#load "Commands.fsx"

open System
open System.IO
open System.Runtime.InteropServices
open Commands

/// The platforms that libtorch is packaged for.
let all = [ "linux-x64"; "win-x64"; "osx-arm64" ]

/// This machine's platform, as .NET names it.
let current =
    let system =
        if OperatingSystem.IsWindows() then "win"
        elif OperatingSystem.IsMacOS() then "osx"
        else "linux"

    $"{system}-{RuntimeInformation.OSArchitecture.ToString().ToLowerInvariant()}"

/// Fails on a machine that libtorch is not packaged for.
let require () =
    if not (List.contains current all) then
        let supported = String.concat ", " all

        failwith
            $"NormFree builds on {supported}, for which libtorch is packaged; this is {current}. Use such a machine or container."

let executable name = if OperatingSystem.IsWindows() then $"{name}.exe" else name

/// Files without which the tool does not run on a platform: the program, libtorch, TorchSharp, SkiaSharp and ONNX Runtime.
let private nativeFiles (platform: string) =
    let names = [ "torch_cpu"; "LibTorchSharp"; "SkiaSharp"; "onnxruntime" ]

    match platform.Split('-')[0] with
    | "win" -> [ "normfree.exe"; "torch_cpu.dll"; "LibTorchSharp.dll"; "libSkiaSharp.dll"; "onnxruntime.dll" ]
    | "osx" -> "normfree" :: [ for name in names -> $"lib{name}.dylib" ]
    | _ -> "normfree" :: [ for name in names -> $"lib{name}.so" ]

/// The first four bytes that programs and libraries of a platform may have: ELF, PE (its first two), or Mach-O, for one processor or several.
let private isNative (platform: string) (start: byte[]) =
    match platform.Split('-')[0], Convert.ToHexString start with
    | "win", text -> text.StartsWith "4D5A"
    | "osx", text -> text = "CFFAEDFE" || text = "CAFEBABE"
    | _, text -> text = "7F454C46"

let private check platform folder =
    for file in nativeFiles platform do
        let path = Path.Combine(root, folder, file)

        if not (File.Exists path) then
            failwith $"{folder} lacks {file}."

        use stream = File.OpenRead path
        let start = Array.zeroCreate<byte> 4
        stream.ReadExactly start

        if not (isNative platform start) then
            failwith $"{folder}/{file} is not a file for {platform}."

/// Publishes the tool for a platform and checks its native files.
let private publishTool options platform =
    let folder = $"artifacts/publish/{platform}"
    publish "src/NormFree.Cli" folder ($"-p:NormFreeRuntime={platform}" :: options)
    check platform folder

/// The tool for each platform, compiled ahead of time. Large files are linked.
let publishTools () = all |> List.iter (publishTool [])

/// The tool for the other platforms, with the libraries of the tool that BuildTool has built, and without compiling ahead of time: about 15 seconds of
/// processor time for each.
let checkOthers () =
    all
    |> List.filter ((<>) current)
    |> List.iter (publishTool [ "-p:PublishReadyToRun=false"; "-p:BuildProjectReferences=false" ])

/// The tool's package for one platform, and the package that chooses among the platforms. Compressing libtorch takes a minute.
let packTool platform =
    let packCli options =
        // Paket packs from the only nuspec that it finds.
        for nuspec in DirectoryInfo(Path.Combine(root, "src/NormFree.Cli/obj/Release")).GetFiles "*.nuspec" do
            nuspec.Delete()

        pack "src/NormFree.Cli" options

    let published = Path.Combine(root, "artifacts", "tool", platform) + "/"
    packCli [ "-p:PackTool=platform"; $"-p:NormFreeRuntime={platform}"; $"-p:PublishDir={published}" ]
    // PublishAot: the SDK would otherwise pack every platform again.
    packCli [ "-p:PackTool=any"; "-p:PublishAot=true"; "--no-build" ]
