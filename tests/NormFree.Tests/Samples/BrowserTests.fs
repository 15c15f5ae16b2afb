/// The sample page (experiments/browser) in headless Chromium.
module NormFree.Tests.Samples.BrowserTests

open System.IO
open System.Text
open Expecto
open NormFree.Kernels.Simd
open NormFree.Spec
open NormFree.Tests
open NormFree.Tests.Data.Support
open NormFree.Tests.Inference
open NormFree.Tests.Samples.Chromium
open NormFree.Tests.Samples.Support

let private published = Path.Combine(repository, "artifacts/browser/wwwroot")

let private requireBrowser () =
    requireChromium ()

    if not (Directory.Exists published) then
        skiptest "experiments/browser was not published: the package feed lacks the WebAssembly packs"

let private status (page: Page) = string (page.Evaluate "document.getElementById('status').innerText")

/// Classes and probabilities as the page lists them.
let private predictions (page: Page) =
    let rows =
        page.Evaluate
            "[...document.querySelectorAll('#predictions li')].map(li => [li.firstChild.innerText, +li.dataset.probability])"

    [ for row in (nonNull rows).AsArray() ->
          let row = (nonNull row).AsArray()
          string row[0], float (nonNull row[1]) ]

/// Drops a file and waits until the status mentions it.
let private drop (page: Page) (folder: TempFolder) (name: string) (bytes: byte[]) =
    page.Evaluate "document.getElementById('status').innerText = ''" |> ignore
    page.Drop(folder.Write(name, bytes), "#drop")
    page.Await $"document.getElementById('status').innerText.includes('{name}')"

/// The engine in WebAssembly computes with the scalar kernels.
let private agrees (page: Page) model image =
    let best = expected InstructionSet.Scalar model image |> List.truncate 5

    for (name, probability), (expectedName, expected) in List.zip (predictions page) best do
        Expect.equal name expectedName "class"
        Expect.floatClose Accuracy.high probability expected "probability"

let tests =
    test "a dropped image gets the engine's probabilities, and damaged files are named" {
        requireBrowser ()
        use folder = new TempFolder()
        let beside = folder.File "beside"
        Directory.CreateDirectory beside |> ignore
        NormFree.Inference.Files.PackedFile.Write(Path.Combine(beside, "network.packed.safetensors"), Models.tiny)
        use server = new FileServer([ published; beside ])
        use page = new Page(folder.File "profile")
        page.Open(server.Address + "index.html")
        page.Await "document.getElementById('status').innerText.includes('3 classes')"

        let photo = drawn 4 50 40
        drop page folder "photo.png" (png photo)
        Expect.stringContains (status page) "50 × 40 pixels" "status"
        agrees page Models.tiny photo

        drop page folder "photo.jpg" (jpeg 95 photo)
        Expect.floatClose Accuracy.high (predictions page |> List.sumBy snd) 1.0 "probabilities of a JPEG"

        drop page folder "text.png" (Encoding.UTF8.GetBytes "not an image")
        Expect.stringContains (status page) "is not an image that this browser can decode" "a text"
        drop page folder "damaged.safetensors" (randomBytes 2 1000)

        Expect.isEmpty
            (string (page.Evaluate "document.querySelector('#status:not(.error)')?.innerText ?? ''"))
            "an error"

        let other = pack 32 (ReActNet.small |> Net.withClasses 7)
        use packed = new MemoryStream()
        NormFree.Inference.Files.PackedFile.Write(packed, other)
        drop page folder "other.safetensors" (packed.ToArray())
        Expect.stringContains (status page) "7 classes" "another network"
        drop page folder "again.png" (png photo)
        agrees page other photo
    }
