// Searches the demo for garments like a photo, but with short sleeves.
import com.google.protobuf.ByteString;
import com.lapel.v1.Manipulation;
import com.lapel.v1.Query;
import com.lapel.v1.SearchRequest;
import com.lapel.v1.SearchResult;
import com.lapel.v1.SearchServiceGrpc;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.concurrent.TimeUnit;

public final class Search {
    public static void main(String[] arguments) throws Exception {
        byte[] photo = Files.readAllBytes(Path.of(arguments[0]));
        ManagedChannel channel = ManagedChannelBuilder.forTarget("127.0.0.1:7700").usePlaintext().build();
        SearchRequest request = SearchRequest.newBuilder()
            .setQuery(Query.newBuilder().setImage(ByteString.copyFrom(photo)))
            .addManipulations(Manipulation.newBuilder().setAttribute("sleeve_length").setLabel("short"))
            .setK(10)
            .build();
        var search = SearchServiceGrpc.newBlockingStub(channel).withDeadlineAfter(30, TimeUnit.SECONDS);
        for (SearchResult result : search.search(request).getResultsList()) {
            System.out.println(result.getItemId() + " " + result.getDistance() + " " + result.getMatchesAll());
        }
        channel.shutdown();
    }
}
