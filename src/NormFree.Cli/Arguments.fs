namespace NormFree.Cli

open Argu

/// <summary>What each command takes; a star marks what holds if nothing is given.</summary>
type TrainArgs =
    | [<Unique>] Arch of NAME: string
    | [<Unique>] Norm of NORM: string
    | [<Unique>] Binarise of WHAT: string
    | [<Unique>] Stem of KIND: string
    | [<Unique>] Width of X: float
    | [<Unique>] Depth of X: float
    | [<Unique>] Dataset of KIND: string
    | [<Unique>] Data of PATH: string
    | [<Unique>] Size of N: int
    | [<Unique>] Limit of N: int
    | [<Unique>] Test_Limit of N: int
    | [<Unique>] Held_Out of X: float
    | [<Unique>] Strict
    | [<Unique>] Recipe of NAME: string
    | [<Unique>] Epochs of N: int
    | [<Unique>] Batch of N: int
    | [<Unique>] Lr of X: float
    | [<Unique>] Weight_Decay of X: float
    | [<Unique>] Optimizer of NAME: string
    | [<Unique>] Schedule of NAME: string
    | [<Unique>] Warm_Up of N: int
    | [<Unique>] Clip of RULE: string
    | [<Unique>] Start of KIND: string
    | [<Unique>] Loss of NAME: string
    | [<Unique>] Teacher of FILE: string
    | [<Unique>] Init of FILE: string
    | [<Unique>] Out of FOLDER: string
    | [<Unique>] Resume
    | [<Unique>] Seed of N: int64
    | [<Unique>] Engine of NAME: string
    | [<Unique>] Precision of NAME: string
    | [<Unique>] Device of NAME: string
    | [<Unique>] Threads of N: int
    | [<Unique>] Workers of N: int
    | [<Unique>] Keep of N: int
    | [<Unique>] Checkpoint_Every of N: float
    | [<Unique>] On_Nonfinite of RULE: string
    | [<Unique>] Telemetry of EVERY: string
    | [<Unique>] Accumulate of N: int
    | [<Unique>] Rank_Timeout of N: float
    | [<Unique>] Json_Log

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Arch _ -> "reactnet-18|-a|-small*, resnet-18|-34"
            | Norm _ -> "batch-norm, none, scaled, bn-free*; bn-free:0.3 sets alpha"
            | Binarise _ -> "activations (stage 1), activations+weights* (both stages)"
            | Stem _ -> "cifar, imagenet; by the image size if not given"
            | Width _ -> "channels, as a factor of the table's"
            | Depth _ -> "layers, as a factor of the table's"
            | Dataset _ -> "cifar10, cifar100, folder, fashion-mnist, drawn*"
            | Data _ -> "folder, archive or file of the data set"
            | Size _ -> "side of the images; the data set's own if not given"
            | Limit _ -> "training images, as many of each class"
            | Test_Limit _ -> "test images, as many of each class"
            | Held_Out _ -> "share of the training set to choose the best epoch on"
            | Strict -> "stop at an image that cannot be read"
            | Recipe _ -> "published (its budget and departures), corrected*"
            | Epochs _ -> "of each stage (5*)"
            | Batch _ -> "images a step (64*)"
            | Lr _ -> "learning rate (1e-3*)"
            | Weight_Decay _ -> "of stage 1 (1e-5*); stage 2 has none"
            | Optimizer _ -> "adam*, adamw, sgd; sgd:0.9 sets the momentum"
            | Schedule _ -> "linear*, cosine, constant, step:EPOCHS:X"
            | Warm_Up _ -> "epochs over which the rate rises from 0"
            | Clip _ -> $"agc:X (agc:{NormFree.Spec.Defaults.AgcLambda}*), none"
            | Start _ -> "data-dependent (shifts and β from a first batch)*, fixed; published: fixed"
            | Loss _ -> "ce*, ls (ls:0.1), kd (needs --teacher)"
            | Teacher _ -> "checkpoint to distil from"
            | Init _ -> "start from it; activations+weights then skips stage 1"
            | Out _ -> "run folder (runs/ARCH-NORM*)"
            | Resume -> "go on with the run in --out and its settings (a teacher that has moved: --teacher)"
            | Seed _ -> "of weights, order and augmentation (1*)"
            | Engine _ -> "fused*, composite (torch's own operations, slower)"
            | Precision _ -> "of convolutions: float32*, bf16 (fused only)"
            | Device _ -> "cpu*, cuda (composite only)"
            | Threads _ -> "of the computation; all processors if not given"
            | Workers _ -> "threads that read images"
            | Keep _ -> "last checkpoints of a stage (2*)"
            | Checkpoint_Every _ -> "minutes between two checkpoints at most (10*)"
            | On_Nonfinite _ -> "stop*, skip (the batch), rollback (to the last checkpoint)"
            | Telemetry _ -> "steps from one look inside the layers to the next (50*), off"
            | Accumulate _ -> "parts of a batch, one after the other (1*): less memory"
            | Rank_Timeout _ -> "seconds after which a missing rank ends an mpirun job (30*)"
            | Json_Log -> "print a JSON object an event instead of progress"

type EvalArgs =
    | [<Mandatory; Unique>] Checkpoint of FILE: string
    | [<Unique>] Dataset of KIND: string
    | [<Unique>] Data of PATH: string
    | [<Unique>] Test_Limit of N: int
    | [<Unique>] Batch of N: int
    | [<Unique>] Strict
    | [<Unique>] Engine of NAME: string
    | [<Unique>] Threads of N: int
    | [<Unique>] Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Checkpoint _ -> "network to evaluate: a checkpoint or a packed file"
            | Dataset _ -> "cifar10, cifar100, folder, fashion-mnist, drawn*"
            | Data _ -> "folder, archive or file of the data set; its test part is used"
            | Test_Limit _ -> "test images, as many of each class"
            | Batch _ -> "images at once (64*); the result does not depend on it"
            | Strict -> "stop at an image that cannot be read"
            | Engine _ -> "fused*, composite (torch's own operations, slower), packed (packed files are)"
            | Threads _ -> "of the computation; all processors if not given"
            | Json -> "print one JSON object"

type PredictArgs =
    | [<Unique>] Checkpoint of FILE: string
    | [<Unique>] Packed of FILE: string
    | [<Unique>] Input of FILE: string
    | [<Unique>] Output of FILE: string
    | [<Unique>] Precision of TYPE: string
    | [<Unique>] Engine of NAME: string
    | [<Unique>] Threads of N: int
    | [<Unique>] Top of COUNT: int
    | [<MainCommand>] Images of IMAGE: string list

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Checkpoint _ -> "network to ask: a checkpoint or a packed file"
            | Packed _ -> "the same, for the packed engine"
            | Input _ -> "safetensors file with a tensor 'input', N×3×H×W, normalised"
            | Output _ -> "safetensors file to write 'logits' to, N×classes"
            | Precision _ -> "float32*, float64: of --input"
            | Engine _ -> "fused*, composite (float64 always is), packed (packed files are)"
            | Threads _ -> "of the computation; all processors if not given"
            | Top _ -> "classes to print an image (3*)"
            | Images _ -> "JPEG or PNG files to classify"

type SummaryArgs =
    | [<Unique>] Arch of NAME: string
    | [<Unique>] Norm of NORM: string
    | [<Unique>] Binarise of WHAT: string
    | [<Unique>] Stem of KIND: string
    | [<Unique>] Width of X: float
    | [<Unique>] Depth of X: float
    | [<Unique>] Size of N: int
    | [<Unique>] Classes of COUNT: int
    | [<Unique>] Checkpoint of FILE: string
    | [<Unique>] Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Arch _ -> "reactnet-18*, reactnet-a, reactnet-small, resnet-18, resnet-34"
            | Norm _ -> "batch-norm, none, bn-free*, scaled"
            | Binarise _ -> "activations, activations+weights*"
            | Stem _ -> "cifar, imagenet; by the image size if not given"
            | Width _ -> "channels, as a factor of the table's"
            | Depth _ -> "layers, as a factor of the table's"
            | Size _ -> "side of the images (224*)"
            | Classes _ -> "of the classifier (1000*)"
            | Checkpoint _ -> "summarise the network of a checkpoint instead"
            | Json -> "print one JSON object"

type GetArgs =
    | [<MainCommand; ExactlyOnce>] Name of NAME: string
    | [<Unique>] Out of FOLDER: string
    | [<Unique>] Mirror of URL: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Name _ -> "cifar10, cifar100"
            | Out _ -> "folder to put it in (data*)"
            | Mirror _ -> "fetch from this address instead of the publisher's; the file's name is added to it"

type CheckArgs =
    | [<Mandatory; Unique>] Dataset of KIND: string
    | [<Unique>] Data of PATH: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Dataset _ -> "cifar10, cifar100, folder, fashion-mnist, drawn"
            | Data _ -> "folder, archive or file of the data set"

type DataArgs =
    | [<CliPrefix(CliPrefix.None)>] Get of ParseResults<GetArgs>
    | [<CliPrefix(CliPrefix.None)>] Check of ParseResults<CheckArgs>

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Get _ -> "download a data set, or what is missing of it, and check its sum"
            | Check _ -> "open a data set, read every image and report what cannot be read"

type BenchTrainArgs =
    | [<Unique>] Arch of NAME: string
    | [<Unique>] Norm of NORM: string
    | [<Unique>] Binarise of WHAT: string
    | [<Unique>] Stem of KIND: string
    | [<Unique>] Width of X: float
    | [<Unique>] Depth of X: float
    | [<Unique>] Classes of N: int
    | [<Unique>] Image of N: int
    | [<Unique>] Batch of N: int
    | [<Unique>] Recipe of NAME: string
    | [<Unique>] Engine of NAME: string
    | [<Unique>] Precision of NAME: string
    | [<Unique>] Threads of N: int
    | [<Unique>] Warm_Up of N: int
    | [<Unique>] Steps of N: int
    | [<Unique>] Accumulate of N: int
    | [<Unique>] Predict of NODES: string
    | [<Unique>] Bandwidth of GBIT: float
    | [<Unique>] Latency of US: float
    | [<Unique>] Rank_Timeout of N: float
    | [<Unique>] Profile
    | [<Unique>] Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Arch _ -> "reactnet-18*, reactnet-a, reactnet-small, resnet-18, resnet-34"
            | Norm _ -> "batch-norm, none, bn-free*, scaled"
            | Binarise _ -> "activations, activations+weights*"
            | Stem _ -> "cifar, imagenet; by the image size if not given"
            | Width _ -> "channels, as a factor of the table's"
            | Depth _ -> "layers, as a factor of the table's"
            | Classes _ -> "of the classifier (10*)"
            | Image _ -> "side of the images (32*)"
            | Batch _ -> "images a step (64*), of all ranks together"
            | Recipe _ -> "published, corrected* (clips convolutions alone, keeps signals balanced)"
            | Engine _ -> "fused*, composite (torch's own operations, slower)"
            | Precision _ -> "of convolutions: float32*, bf16 (fused only)"
            | Threads _ -> "of the computation; all processors if not given"
            | Warm_Up _ -> "steps before the clock starts (2*)"
            | Steps _ -> "steps that are measured (10*)"
            | Accumulate _ -> "parts of a batch, one after the other (1*)"
            | Predict _ -> "also predict the speed of so many nodes, such as 1,8,64,512"
            | Bandwidth _ -> "between them, Gbit/s; under mpirun as measured, else 10*"
            | Latency _ -> "of a message, microseconds; under mpirun as measured, else 50*"
            | Rank_Timeout _ -> "seconds after which a missing rank ends an mpirun job (30*)"
            | Profile -> "measure each layer as well"
            | Json -> "print one JSON object"

type BenchInferArgs =
    | [<Unique>] Arch of NAME: string
    | [<Unique>] Norm of NORM: string
    | [<Unique>] Stem of KIND: string
    | [<Unique>] Width of X: float
    | [<Unique>] Depth of X: float
    | [<Unique>] Classes of N: int
    | [<Unique>] Image of N: int
    | [<Unique>] Batch of N: int
    | [<Unique>] Engine of NAME: string
    | [<Unique>] Threads of N: int
    | [<Unique>] Warm_Up of N: int
    | [<Unique>] Runs of N: int
    | [<Unique>] Seconds of X: float
    | [<Unique>] Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Arch _ -> "reactnet-18*, reactnet-a, reactnet-small"
            | Norm _ -> "batch-norm, none, bn-free*, scaled"
            | Stem _ -> "cifar, imagenet; by the image size if not given"
            | Width _ -> "channels, as a factor of the table's"
            | Depth _ -> "layers, as a factor of the table's"
            | Classes _ -> "of the classifier (10*)"
            | Image _ -> "side of the images (32*)"
            | Batch _ -> "images a run (1*)"
            | Engine _ -> "packed*, torch, onnxruntime, onnxruntime-int8"
            | Threads _ -> "of the computation; all processors if not given"
            | Warm_Up _ -> "runs before the clock starts (5*)"
            | Runs _ -> "runs that are measured, at least (20*)"
            | Seconds _ -> "seconds that are measured, at least (1*)"
            | Json -> "print one JSON object"

type BenchKernelsArgs =
    | [<Unique>] Only of WORDS: string
    | [<Unique>] Seconds of X: float
    | [<Unique>] Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Only _ -> "layers with these words in their names, such as 'ReActNet-18' or '3x3 256->256'"
            | Seconds _ -> "of each layer with each instruction set, at least (0.2*)"
            | Json -> "print one JSON object"

type BenchArgs =
    | [<CliPrefix(CliPrefix.None)>] Train of ParseResults<BenchTrainArgs>
    | [<CliPrefix(CliPrefix.None)>] Infer of ParseResults<BenchInferArgs>
    | [<CliPrefix(CliPrefix.None)>] Kernels of ParseResults<BenchKernelsArgs>

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Train _ -> "measure training steps: images a second, phases, memory"
            | Infer _ ->
                "measure inference by NormFree and others: latency, images a second, memory of the process (with libtorch's)"
            | Kernels _ -> "measure binary convolutions, and what the machine gives at best"

type ReportArgs =
    | [<MainCommand; ExactlyOnce>] Runs of RUN: string list
    | [<Mandatory; Unique>] Out of FILE: string
    | [<Unique>] Title of TEXT: string
    | [<Unique>] No_Speed

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Runs _ -> "folders of runs; those that differ by their seeds are taken together"
            | Out _ -> "page to write: .html (self-contained), or .md with pictures beside it"
            | Title _ -> "heading of the page"
            | No_Speed ->
                "do not measure the speed of packed networks, which takes seconds and differs from page to page"

type ImportArgs =
    | [<Unique>] Pytorch of FILE: string
    | [<Unique>] Safetensors of FILE: string
    | [<Mandatory; Unique>] Arch of NAME: string
    | [<Unique>] Norm of NORM: string
    | [<Unique>] Binarise of WHAT: string
    | [<Unique>] Stem of KIND: string
    | [<Unique>] Width of X: float
    | [<Unique>] Depth of X: float
    | [<Unique>] Classes of COUNT: int
    | [<Unique>] Recipe of NAME: string
    | [<Unique>] Size of N: int
    | [<Unique>] Dataset of KIND: string
    | [<Unique>] Data of PATH: string
    | [<Unique>] Partial
    | [<Mandatory; Unique>] Out of CKPT: string

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Pytorch _ -> "file that torch.save has written: .pt, .pth, .pth.tar"
            | Safetensors _ -> "safetensors file, whoever has written it"
            | Arch _ -> "reactnet-18, reactnet-a, reactnet-small, resnet-18, resnet-34"
            | Norm _ -> "batch-norm, none, scaled, bn-free*; bn-free:0.3 sets alpha"
            | Binarise _ -> "activations, activations+weights*"
            | Stem _ -> "cifar, imagenet; by the image size if not given"
            | Width _ -> "channels, as a factor of the table's"
            | Depth _ -> "layers, as a factor of the table's"
            | Classes _ -> "of the classifier (1000*, or the data set's)"
            | Recipe _ -> "published*, corrected: whose factors of layers and filters"
            | Size _ -> "side of the images (224*, or the data set's)"
            | Dataset _ -> "take names of classes and normalisation from this data set"
            | Data _ -> "folder, archive or file of the data set"
            | Partial -> "load what fits, and say what does not"
            | Out _ -> "checkpoint to write"

type ExportArgs =
    | [<Mandatory; Unique>] Checkpoint of FILE: string
    | [<Mandatory; Unique>] Format of NAME: string
    | [<Mandatory; Unique>] Out of FILE: string
    | [<Unique>] Dynamic_Batch

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Checkpoint _ -> "network to export"
            | Format _ -> "pytorch, safetensors, onnx, packed"
            | Out _ -> "file to write"
            | Dynamic_Batch -> "onnx: any number of images at once instead of one"

type VerifyArgs =
    | [<Mandatory; Unique>] Checkpoint of FILE: string
    | [<Mandatory; Unique>] Packed of FILE: string
    | [<Unique>] Dataset of KIND: string
    | [<Unique>] Data of PATH: string
    | [<Unique>] Test_Limit of N: int
    | [<Unique>] Images of N: int
    | [<Unique>] Threads of N: int
    | [<Unique>] Json

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Checkpoint _ -> "network that the packed file was made of"
            | Packed _ -> "packed file to compare with it"
            | Dataset _ -> "accuracy of both: cifar10, cifar100, folder, fashion-mnist, drawn"
            | Data _ -> "folder, archive or file of the data set; its test part is used"
            | Test_Limit _ -> "test images, as many of each class"
            | Images _ -> "images to compare layers on (2*): test images, or noise without a data set"
            | Threads _ -> "of the computation; all processors if not given"
            | Json -> "print one JSON object"

type Command =
    | [<CliPrefix(CliPrefix.None)>] Train of ParseResults<TrainArgs>
    | [<CliPrefix(CliPrefix.None)>] Eval of ParseResults<EvalArgs>
    | [<CliPrefix(CliPrefix.None)>] Predict of ParseResults<PredictArgs>
    | [<CliPrefix(CliPrefix.None)>] Summary of ParseResults<SummaryArgs>
    | [<CliPrefix(CliPrefix.None)>] Data of ParseResults<DataArgs>
    | [<CliPrefix(CliPrefix.None)>] Bench of ParseResults<BenchArgs>
    | [<CliPrefix(CliPrefix.None)>] Report of ParseResults<ReportArgs>
    | [<CliPrefix(CliPrefix.None)>] Import of ParseResults<ImportArgs>
    | [<CliPrefix(CliPrefix.None)>] Export of ParseResults<ExportArgs>
    | [<CliPrefix(CliPrefix.None)>] Verify of ParseResults<VerifyArgs>
    | [<Unique>] Version

    interface IArgParserTemplate with
        member this.Usage =
            match this with
            | Train _ -> "train a network, one stage or both"
            | Eval _ -> "accuracy of a checkpoint on a data set"
            | Predict _ -> "classes of images, or logits of tensors"
            | Summary _ -> "layers, parameters, operations and sizes of a network"
            | Data _ -> "download and check data sets"
            | Bench _ -> "measure speed and memory"
            | Report _ -> "page of one or several runs"
            | Import _ -> "checkpoint from a PyTorch or safetensors file"
            | Export _ -> "PyTorch, safetensors, ONNX or packed file from a checkpoint"
            | Verify _ -> "compare a packed file with its checkpoint, layer by layer"
            | Version -> "print the version"
